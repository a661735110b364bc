package fleet

import (
	"path"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// fleet reads one fleet, and returns it with the values it was read from.
func (r *reader) fleet(v value) (Fleet, map[string]value) {
	f := Fleet{Strategy: Default()}
	at := r.object(v, fields{
		"name":        func(v value) { f.Name = r.text(v, nameForm) },
		"region":      func(v value) { f.Region = r.text(v, regionForm) },
		"account":     func(v value) { f.Account.Name = r.text(v, nameForm) }, // owners has the rest
		"images":      func(v value) { f.Images = r.set(v, MaxImages, r.image) },
		"select":      func(v value) { f.Select = r.selector(v) },
		"exclude":     func(v value) { f.Exclude = Exclusion(r.selection(v)) },
		"requests":    func(v value) { f.Requests = r.truth(v) },
		"after":       func(v value) { f.After = r.texts(v, MaxAfter, nameForm) },
		"from":        func(v value) { f.From = r.from(v) },
		"consentFrom": func(v value) { f.ConsentFrom = r.texts(v, MaxDoors, doorForm) },
		"rebuild":     func(v value) { f.Rebuild = r.rebuild(v) },
		"strategy":    func(v value) { f.Strategy = r.strategy(v) },
	}, "name", "region", "images", "select")
	if why := f.linuxOnly(); f.Strategy.Check.Command != "" && why != "" {
		r.faultf(at["strategy"].at("check").at("command"), "runs on Windows only, and %s; leave it out", why)
	}
	return f, at
}

// image reads the pattern of an image name.
func (r *reader) image(v value) string {
	s := r.text(v, imageForm)
	if _, err := path.Match(s, ""); err != nil {
		r.faultf(v, `must be a pattern such as "win11-office*"; a bracket is open or a backslash ends %s`, quoted(s))
		return ""
	}
	return s
}

// everyDesktop is the word that selects every desktop of a region.
const everyDesktop = "all"

// selector reads which desktops are meant. That these are all has to be written
// down, as nothing else stands between a release and every desktop there is.
func (r *reader) selector(v value) desktop.Selector {
	if v.node.Kind == yaml.ScalarNode {
		const what = "an object that says which desktops, or the word all"
		if s, ok := r.scalar(v, what, "!!str"); ok && s != everyDesktop {
			r.faultf(v, "must be %s, is %s", what, quoted(s))
		}
		return desktop.Selector{}
	}
	return r.selection(v)
}

// selection reads the fields that selectors and exclusions have in common.
func (r *reader) selection(v value) desktop.Selector {
	var s desktop.Selector
	r.object(v, fields{
		"desktopIds":      func(v value) { s.IDs = r.texts(v, MaxIDs, idForm) },
		"tags":            func(v value) { s.Tags = r.tags(v) },
		"officeSiteIds":   func(v value) { s.OfficeSiteIDs = r.texts(v, MaxIDs, idForm) },
		"policyGroupIds":  func(v value) { s.PolicyGroupIDs = r.texts(v, MaxIDs, idForm) },
		"currentImageIds": func(v value) { s.ImageIDs = r.texts(v, MaxIDs, idForm) },
	})
	return s
}

// notEmpty notes a fault if v is an object without keys.
func (r *reader) notEmpty(v value) {
	if v.node.Kind == yaml.MappingNode && len(v.node.Content) == 0 {
		r.faultf(v, "must not be empty")
	}
}

// tags reads a set of tags: keys and the values they must have.
func (r *reader) tags(v value) map[string]string {
	out := map[string]string{}
	r.pairs(v, func(key *yaml.Node, item value) {
		k := r.text(value{key, item.path}, tagKeyForm)
		if reserved(k) {
			r.faultf(value{key, item.path}, "the key must not begin with acs: or aliyun nor hold http:// or https://; ECD has no such tags")
		}
		out[k] = r.text(item, tagValueForm)
	})
	r.notEmpty(v)
	if v.node.Kind == yaml.MappingNode && len(v.node.Content)/2 > MaxTags {
		r.faultf(v, "must have at most %d, has %d", MaxTags, len(v.node.Content)/2)
	}
	return out
}

// reserved says whether ECD lets nobody use the tag key. Source: TagResources,
// "Tag.N.Key".
func reserved(key string) bool {
	return strings.HasPrefix(key, "acs:") || strings.HasPrefix(key, "aliyun") ||
		strings.Contains(key, "http://") || strings.Contains(key, "https://")
}

// rebuild reads the options of the calls.
func (r *reader) rebuild(v value) Rebuild {
	var b Rebuild
	r.object(v, fields{
		"operateType":   func(v value) { b.OperateType = r.oneOf(v, events.OperateTypes...) },
		"language":      func(v value) { b.Language = r.oneOf(v, events.Languages...) },
		"afterStatus":   func(v value) { b.AfterStatus = r.oneOf(v, desktop.Running, desktop.Stopped) },
		"keepSnapshots": func(v value) { b.KeepSnapshots = r.oneOf(v, KeepByHand, KeepAll) },
		"consent": func(v value) {
			b.Consent = r.set(v, len(events.FleetConsents), func(v value) string { return r.oneOf(v, events.FleetConsents...) })
		},
	})
	return b
}
