package sts

import (
	"bytes"
	"encoding/json"
	"errors"
	"path"
	"slices"
	"strings"
)

// A policy is a session policy, in the parts that are looked at: effects and
// actions. Source: page 93738, "Policy elements".
type policy struct {
	Version   string
	Statement []statement
}

type statement struct {
	Effect           string
	Action, Resource texts
	Condition        json.RawMessage
}

// texts are one text or several.
type texts []string

// UnmarshalJSON reads a text as a list of one.
func (t *texts) UnmarshalJSON(raw []byte) error {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(raw, (*[]string)(t))
}

var errGrammar = errors.New("not a policy of version 1 whose statements have effect, action and resource")

func parsePolicy(text string) (*policy, error) {
	var p policy
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(&p); err != nil || d.More() {
		return nil, errGrammar
	}
	if p.Version != "1" || len(p.Statement) == 0 {
		return nil, errGrammar
	}
	for _, s := range p.Statement {
		if s.Effect != "Allow" && s.Effect != "Deny" || len(s.Action) == 0 || len(s.Resource) == 0 {
			return nil, errGrammar
		}
	}
	return &p, nil
}

// allows says whether some statement allows an action and none denies it.
func (p *policy) allows(action string) bool {
	has := func(effect string) bool {
		return slices.ContainsFunc(p.Statement, func(s statement) bool { return s.Effect == effect && matches(s.Action, action) })
	}
	return has("Allow") && !has("Deny")
}

// matches says whether a list of actions, with * for any letters, has an action;
// upper and lower case are the same.
func matches(list []string, action string) bool {
	return slices.ContainsFunc(list, func(pattern string) bool {
		ok, err := path.Match(strings.ToLower(pattern), strings.ToLower(action))
		return err == nil && ok
	})
}
