package control

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// A template is what ROS was given, in the part of its language that our
// template uses: Ref, Fn::Sub, Fn::GetAtt, Fn::Equals, Fn::Split, Fn::And, Fn::Not, Fn::If,
// Condition, DependsOn, DeletionPolicy. Source: "Template structure", "Functions".
type template struct {
	Version    string               `yaml:"ROSTemplateFormatVersion"`
	Parameters map[string]parameter `yaml:"Parameters"`
	Conditions map[string]any       `yaml:"Conditions"`
	Resources  map[string]resource  `yaml:"Resources"`
	Outputs    map[string]struct {
		Value     any    `yaml:"Value"`
		Condition string `yaml:"Condition"`
	} `yaml:"Outputs"`
}

func readTemplate(text string) (*template, *refusal) {
	var t template
	if err := yaml.Unmarshal([]byte(text), &t); err != nil {
		return nil, no(400, "InvalidTemplate", "The specified template is invalid: "+err.Error())
	}
	if t.Version != "2015-09-01" {
		return nil, no(400, "InvalidTemplateVersion", "The template version is invalid: "+t.Version)
	}
	if len(t.Resources) == 0 {
		return nil, no(400, "InvalidTemplate", "The template has no resources.")
	}
	for name, r := range t.Resources {
		if _, twice := t.Parameters[name]; twice {
			return nil, no(400, "InvalidTemplate", "The template is invalid: Duplicate names "+name)
		}
		if kinds[r.Type] == nil {
			return nil, no(400, "ResourceTypeNotFound", fmt.Sprintf("The Resource Type (%s) of %s could not be found.", r.Type, name))
		}
	}
	return &t, nil
}

type parameter struct {
	Type          string `yaml:"Type"`
	Default       any    `yaml:"Default"`
	AllowedValues []any  `yaml:"AllowedValues"`
	Pattern       string `yaml:"AllowedPattern"`
}

type resource struct {
	Type           string         `yaml:"Type"`
	Condition      string         `yaml:"Condition"`
	DependsOn      any            `yaml:"DependsOn"`
	DeletionPolicy string         `yaml:"DeletionPolicy"`
	Properties     map[string]any `yaml:"Properties"`
}

// A scope resolves a template's functions.
type scope struct {
	t      *template
	values map[string]any    // parameters and pseudo parameters
	made   map[string]*thing // resources that exist
	missed []string          // names that could not be resolved
}

func (s *Server) scope(t *template, stackName string, given map[string]string) (*scope, *refusal) {
	sc := &scope{t: t, made: map[string]*thing{}, values: map[string]any{
		"ALIYUN::Region": s.region, "ALIYUN::TenantId": s.account, "ALIYUN::AccountId": s.account, "ALIYUN::StackName": stackName,
	}}
	for name, p := range t.Parameters {
		v, err := p.value(name, given)
		if err != nil {
			return nil, err
		}
		sc.values[name] = v
	}
	for name := range given {
		if _, ok := t.Parameters[name]; !ok {
			return nil, no(400, "UnknownUserParameter", "The Parameter ("+name+") was not defined in template.")
		}
	}
	return sc, nil
}

// value returns what a parameter of that name is, by what was given for all of them.
func (p parameter) value(name string, given map[string]string) (any, *refusal) {
	v := p.Default
	if text, ok := given[name]; ok {
		v = text
	}
	if v == nil {
		return nil, no(400, "ParameterMissing", "The parameter "+name+" is missing.")
	}
	if text, ok := v.(string); ok && p.Type == "Number" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, no(400, "InvalidParameter", fmt.Sprintf("The parameter %s is not a number: %v", name, v))
		}
		v = n
	}
	if p.Pattern != "" {
		if form, err := regexp.Compile("^(?:" + p.Pattern + ")$"); err != nil || !form.MatchString(fmt.Sprint(v)) {
			return nil, no(400, "InvalidParameter", fmt.Sprintf("The parameter %s is invalid: %v", name, v))
		}
	}
	if len(p.AllowedValues) > 0 && !slices.ContainsFunc(p.AllowedValues, func(a any) bool { return fmt.Sprint(a) == fmt.Sprint(v) }) {
		return nil, no(400, "InvalidParameter", fmt.Sprintf("The parameter %s is not one of the allowed values: %v", name, v))
	}
	return v, nil
}

// holds says whether a condition is met; "" always is.
func (sc *scope) holds(name string) bool {
	if name == "" {
		return true
	}
	return sc.resolve(sc.t.Conditions[name]) == true
}

var inSub = regexp.MustCompile(`\$\{([A-Za-z0-9:.]+)\}`)

// resolve returns a value with its functions carried out.
func (sc *scope) resolve(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = sc.resolve(v[i])
		}
		return out
	case map[string]any:
		if len(v) == 1 {
			for name, argument := range v {
				if done, ok := sc.function(name, argument); ok {
					return done
				}
			}
		}
		out := make(map[string]any, len(v))
		for key := range v {
			out[key] = sc.resolve(v[key])
		}
		return out
	}
	return v
}

func anys(texts []string) (out []any) {
	for _, t := range texts {
		out = append(out, t)
	}
	return out
}

func texts(list []any) (out []string) {
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// function carries a function of the template out; ok is false for a name that is none.
func (sc *scope) function(name string, argument any) (value any, ok bool) {
	switch name {
	case "Ref":
		return sc.ref(fmt.Sprint(argument)), true
	case "Condition":
		return sc.holds(fmt.Sprint(argument)), true
	case "Fn::Sub":
		text, ok := argument.(string)
		if !ok {
			sc.missed = append(sc.missed, "Fn::Sub of a list")
		}
		return inSub.ReplaceAllStringFunc(text, func(found string) string {
			return fmt.Sprint(sc.ref(inSub.FindStringSubmatch(found)[1]))
		}), true
	case "Fn::GetAtt":
		list, _ := sc.resolve(argument).([]any)
		if len(list) == 2 {
			return sc.ref(fmt.Sprint(list[0]) + "." + fmt.Sprint(list[1])), true
		}
	case "Fn::Split":
		list, _ := sc.resolve(argument).([]any)
		if len(list) == 2 {
			return anys(strings.Split(fmt.Sprint(list[1]), fmt.Sprint(list[0]))), true
		}
	case "Fn::Equals":
		list, _ := sc.resolve(argument).([]any)
		return len(list) == 2 && fmt.Sprint(list[0]) == fmt.Sprint(list[1]), true
	case "Fn::And":
		list, _ := sc.resolve(argument).([]any)
		return len(list) > 0 && !slices.ContainsFunc(list, func(v any) bool { return v != true }), true
	case "Fn::Not":
		return sc.resolve(argument) != true, true
	case "Fn::If":
		list, _ := argument.([]any)
		if len(list) == 3 && sc.holds(fmt.Sprint(list[0])) {
			return sc.resolve(list[1]), true
		}
		if len(list) == 3 {
			return sc.resolve(list[2]), true
		}
	case "Fn::Join":
		list, _ := sc.resolve(argument).([]any)
		if len(list) == 2 {
			elements, _ := list[1].([]any)
			return strings.Join(texts(elements), fmt.Sprint(list[0])), true
		}
	default:
		return nil, false
	}
	sc.missed = append(sc.missed, name)
	return nil, true
}

// ref returns a parameter, a resource's id, or its attribute (Resource.Attribute).
func (sc *scope) ref(name string) any {
	if v, ok := sc.values[name]; ok {
		return v
	}
	resource, attribute, dotted := strings.Cut(name, ".")
	if r := sc.made[resource]; r != nil {
		if !dotted {
			return r.id
		}
		if v, ok := r.attributes[attribute]; ok {
			return v
		}
	}
	if _, ok := sc.t.Resources[resource]; !ok || sc.made[resource] != nil {
		sc.missed = append(sc.missed, name)
	}
	return "" // not made yet, as in a preview
}

// needs returns the resources that one needs: those that it refers to, and those
// that it says it depends on.
func (sc *scope) needs(name string, r resource) (needs []string) {
	raw, _ := json.Marshal(r.Properties)
	for other := range sc.t.Resources {
		for _, mention := range []string{`"Ref":"` + other + `"`, "${" + other + "}", "${" + other + ".", `"Fn::GetAtt":["` + other + `"`} {
			if other != name && strings.Contains(string(raw), mention) {
				needs = append(needs, other)
			}
		}
	}
	switch d := r.DependsOn.(type) {
	case string:
		needs = append(needs, d)
	case []any:
		for _, other := range d {
			needs = append(needs, fmt.Sprint(other))
		}
	}
	return needs
}

// order returns the resources that the conditions want, those that others need
// first.
func (sc *scope) order() []string {
	needs := map[string][]string{}
	var names []string
	for name, r := range sc.t.Resources {
		if !sc.holds(r.Condition) {
			continue
		}
		names = append(names, name)
		needs[name] = sc.needs(name, r)
	}
	slices.Sort(names)
	var out []string
	var visit func(name string, depth int)
	visit = func(name string, depth int) {
		if slices.Contains(out, name) || !slices.Contains(names, name) || depth > len(names) {
			return
		}
		slices.Sort(needs[name])
		for _, other := range needs[name] {
			visit(other, depth+1)
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	for _, name := range names {
		visit(name, 0)
	}
	return out
}
