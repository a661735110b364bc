package rollout

import "reflect"

// NewFacts returns facts that know nothing yet, with tables that can be written to.
func NewFacts() *Facts {
	f := &Facts{}
	for _, table := range reflect.ValueOf(f).Elem().Fields() {
		if table.Kind() == reflect.Map {
			table.Set(reflect.MakeMap(table.Type()))
		}
	}
	return f
}
