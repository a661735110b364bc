package control

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// A stack is one of ROS and what is left to do of it.
type stack struct {
	id, name, status, reason string
	scope                    *scope
	things                   map[string]*thing // by logical name
	order                    []string          // in which they were made
	steps                    []step
	outputs                  map[string]any
}

// A thing is a resource of a stack.
type thing struct {
	kind, id, status, reason string
	properties               map[string]any // as they were resolved
	attributes               map[string]any
	keep                     bool // DeletionPolicy Retain
}

// A step makes, changes or takes away one resource, or ends the work.
type step struct {
	do   string // make, change, remove, end
	name string
	end  string // the status
}

func (c call) template() (*template, *refusal) {
	if c.params["TemplateBody"] == "" {
		return nil, no(400, "MissingTemplateBody", "TemplateBody is mandatory for this action.")
	}
	return readTemplate(c.params["TemplateBody"])
}

func (c call) parameters() map[string]string {
	out := map[string]string{}
	for i := 1; ; i++ {
		name := c.params[fmt.Sprintf("Parameters.%d.ParameterKey", i)]
		if name == "" {
			return out
		}
		out[name] = c.params[fmt.Sprintf("Parameters.%d.ParameterValue", i)]
	}
}

func (c call) validate() (map[string]any, *refusal) {
	t, err := c.template()
	if err != nil {
		return nil, err
	}
	return map[string]any{"Parameters": len(t.Parameters)}, nil
}

// find returns a stack that was not deleted, by id or name.
func (s *Server) find(key string) *stack {
	for _, st := range s.stacks {
		if (st.id == key || st.name == key) && st.status != "DELETE_COMPLETE" {
			return st
		}
	}
	return nil
}

func (c call) named() (*stack, *refusal) {
	if st := c.find(c.params["StackId"]); st != nil {
		return st, nil
	}
	return nil, no(404, "StackNotFound", "The Stack ("+c.params["StackId"]+") could not be found.")
}

func (c call) wanted(name string) (*scope, []string, *refusal) {
	t, err := c.template()
	if err != nil {
		return nil, nil, err
	}
	sc, err := c.scope(t, name, c.parameters())
	if err != nil {
		return nil, nil, err
	}
	order := sc.order()
	for _, name := range order {
		_ = sc.resolve(t.Resources[name].Properties)
	}
	if len(sc.missed) > 0 {
		return nil, nil, no(400, "StackValidationFailed", "These could not be resolved: "+strings.Join(sc.missed, ", "))
	}
	return sc, order, nil
}

func (c call) preview() (map[string]any, *refusal) {
	var st *stack
	if c.params["StackId"] != "" {
		found, err := c.named()
		if err != nil {
			return nil, err
		}
		st = found
	}
	sc, order, err := c.wanted(c.params["StackName"])
	if err != nil {
		return nil, err
	}
	list := []any{}
	add := func(name, kind, action string) {
		list = append(list, map[string]any{"LogicalResourceId": name, "ResourceType": kind, "Action": action, "Replacement": "False"})
	}
	for _, name := range order {
		action := "Add"
		if st != nil && st.things[name] != nil {
			sc.made = st.things
			action = "None"
			if !same(sc.resolve(sc.t.Resources[name].Properties), st.things[name].properties) {
				action = "Modify"
			}
		}
		add(name, sc.t.Resources[name].Type, action)
	}
	if st != nil {
		for _, name := range st.order {
			if !slices.Contains(order, name) {
				add(name, st.things[name].kind, "Remove")
			}
		}
	}
	return map[string]any{"Stack": map[string]any{"StackName": c.params["StackName"], "Resources": list}}, nil
}

func (c call) createStack() (map[string]any, *refusal) {
	if id := c.tokens[c.params["ClientToken"]]; id != "" && c.params["ClientToken"] != "" {
		return map[string]any{"StackId": id}, nil
	}
	name := c.params["StackName"]
	if c.find(name) != nil {
		return nil, no(409, "StackExists", "The Stack ("+name+") already exists.")
	}
	sc, order, err := c.wanted(name)
	if err != nil {
		return nil, err
	}
	st := &stack{id: newID(), name: name, status: "CREATE_IN_PROGRESS", scope: sc, things: map[string]*thing{}}
	sc.made = st.things
	for _, name := range order {
		st.steps = append(st.steps, step{do: "make", name: name})
	}
	st.steps = append(st.steps, step{do: "end", end: "CREATE_COMPLETE"})
	c.stacks = append(c.stacks, st)
	c.tokens[c.params["ClientToken"]] = st.id
	return map[string]any{"StackId": st.id}, nil
}

func (c call) updateStack() (map[string]any, *refusal) {
	st, err := c.named()
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(st.status, "_IN_PROGRESS") {
		return nil, no(409, "ActionInProgress", "Stack "+st.name+" already has an action in progress.")
	}
	if strings.HasPrefix(st.status, "CREATE_") && st.status != "CREATE_COMPLETE" {
		return nil, no(400, "NotSupported.Status", "A stack with status "+st.status+" cannot be updated.")
	}
	sc, order, err := c.wanted(st.name)
	if err != nil {
		return nil, err
	}
	sc.made = st.things
	var steps []step
	for _, name := range order {
		switch {
		case st.things[name] == nil:
			steps = append(steps, step{do: "make", name: name})
		case !same(sc.resolve(sc.t.Resources[name].Properties), st.things[name].properties):
			steps = append(steps, step{do: "change", name: name})
		}
	}
	for _, name := range st.order {
		if !slices.Contains(order, name) {
			steps = append(steps, step{do: "remove", name: name})
		}
	}
	if len(steps) == 0 && st.status != "UPDATE_FAILED" {
		return nil, no(400, "NotSupported", "Update the completely same stack is not supported.")
	}
	st.scope, st.status, st.reason = sc, "UPDATE_IN_PROGRESS", ""
	st.steps = append(steps, step{do: "end", end: "UPDATE_COMPLETE"})
	return map[string]any{"StackId": st.id}, nil
}

func (c call) deleteStack() (map[string]any, *refusal) {
	st, err := c.named()
	if err != nil {
		return nil, err
	}
	for i := 1; c.params[fmt.Sprintf("RetainResources.%d", i)] != ""; i++ {
		if t := st.things[c.params[fmt.Sprintf("RetainResources.%d", i)]]; t != nil {
			t.keep = true
		}
	}
	st.status, st.steps = "DELETE_IN_PROGRESS", nil
	for _, name := range backwards(st.order) {
		st.steps = append(st.steps, step{do: "remove", name: name})
	}
	st.steps = append(st.steps, step{do: "end", end: "DELETE_COMPLETE"})
	return nil, nil
}

// getStack does one more step and tells where the stack is.
func (c call) getStack() (map[string]any, *refusal) {
	for _, st := range c.stacks {
		if st.id == c.params["StackId"] {
			c.advance(st)
			for c.state.AtOnce && len(st.steps) > 0 {
				c.advance(st)
			}
			return st.describe(), nil
		}
	}
	return nil, no(404, "StackNotFound", "The Stack ("+c.params["StackId"]+") could not be found.")
}

func (c call) listStacks() (map[string]any, *refusal) {
	list := []any{}
	for _, st := range c.stacks {
		if st.status != "DELETE_COMPLETE" && (c.params["StackName.1"] == "" || c.params["StackName.1"] == st.name) {
			list = append(list, st.describe())
		}
	}
	return map[string]any{"Stacks": list, "TotalCount": len(list)}, nil
}

func (c call) stackResources() (map[string]any, *refusal) {
	for _, st := range c.stacks {
		if st.id != c.params["StackId"] {
			continue
		}
		list := []any{}
		for _, name := range sortedKeys(st.things) {
			t := st.things[name]
			list = append(list, map[string]any{"LogicalResourceId": name, "PhysicalResourceId": t.id, "ResourceType": t.kind,
				"Status": t.status, "StatusReason": t.reason})
		}
		return map[string]any{"Resources": list}, nil
	}
	return nil, no(404, "StackNotFound", "The Stack ("+c.params["StackId"]+") could not be found.")
}

func (st *stack) describe() map[string]any {
	outputs := []any{}
	for _, name := range sortedKeys(st.outputs) {
		outputs = append(outputs, map[string]any{"OutputKey": name, "OutputValue": st.outputs[name]})
	}
	parameters := []any{}
	for _, name := range sortedKeys(st.scope.values) {
		parameters = append(parameters, map[string]any{"ParameterKey": name, "ParameterValue": fmt.Sprint(st.scope.values[name])})
	}
	return map[string]any{"StackId": st.id, "StackName": st.name, "Status": st.status, "StatusReason": st.reason,
		"Outputs": outputs, "Parameters": parameters}
}

// advance does the next step of a stack.
func (s *Server) advance(st *stack) {
	if len(st.steps) == 0 {
		return
	}
	next := st.steps[0]
	st.steps = st.steps[1:]
	switch next.do {
	case "end":
		st.status = next.end
		st.finish()
	case "remove":
		s.remove(st, next.name)
	default:
		s.produce(st, next)
	}
}

// produce makes or changes a resource. If that fails, what a creation made is
// taken back, and an update stops.
func (s *Server) produce(st *stack, next step) {
	r := st.scope.t.Resources[next.name]
	t := &thing{kind: r.Type, keep: r.DeletionPolicy == "Retain"}
	t.properties, _ = st.scope.resolve(r.Properties).(map[string]any)
	verb := "CREATE"
	if next.do == "change" {
		verb = "UPDATE"
	}
	err := kinds[r.Type](s, t, next.do == "change")
	if old := st.things[next.name]; old == nil {
		st.order = append(st.order, next.name)
	}
	st.things[next.name] = t
	if err == nil {
		t.status = verb + "_COMPLETE"
		return
	}
	t.status, t.reason = verb+"_FAILED", err.code+": "+err.message
	st.reason = "Resource " + verb + " failed: " + t.reason
	if verb == "UPDATE" || st.status == "UPDATE_IN_PROGRESS" {
		delete(st.things, next.name)
		st.order = slices.DeleteFunc(st.order, func(n string) bool { return n == next.name })
		st.status, st.steps = "UPDATE_FAILED", nil
		return
	}
	st.status, st.steps = "CREATE_ROLLBACK_IN_PROGRESS", nil
	for _, name := range backwards(st.order) {
		st.steps = append(st.steps, step{do: "remove", name: name})
	}
	st.steps = append(st.steps, step{do: "end", end: "CREATE_ROLLBACK_COMPLETE"})
}

func (s *Server) remove(st *stack, name string) {
	t := st.things[name]
	if t == nil || strings.HasSuffix(t.status, "_FAILED") {
		return
	}
	if !t.keep {
		s.takeAway(t)
	}
	t.status = "DELETE_COMPLETE"
	if strings.HasPrefix(st.status, "UPDATE") {
		delete(st.things, name)
		st.order = slices.DeleteFunc(st.order, func(n string) bool { return n == name })
	}
}

// finish computes the outputs of a stack that is complete.
func (st *stack) finish() {
	if !strings.HasSuffix(st.status, "CREATE_COMPLETE") && !strings.HasSuffix(st.status, "UPDATE_COMPLETE") {
		return
	}
	st.outputs = map[string]any{}
	for name, o := range st.scope.t.Outputs {
		if st.scope.holds(o.Condition) {
			st.outputs[name] = st.scope.resolve(o.Value)
		}
	}
}

// same compares values as JSON does.
func same(a, b any) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

func backwards(list []string) []string {
	out := slices.Clone(list)
	slices.Reverse(out)
	return out
}

func newID() string {
	return strings.ToLower(fmt.Sprintf("%s-%s", rand.Text()[:8], rand.Text()[:12]))
}
