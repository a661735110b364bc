package acs

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// rosVersion is the API of Resource Orchestration Service (ROS).
const rosVersion = "2019-09-10"

func (c *Client) ros(action string, query map[string]string) request {
	q := map[string]string{"RegionId": c.region}
	maps.Copy(q, query)
	return request{action: action, version: rosVersion, host: "ros.aliyuncs.com", query: q,
		// Those that change something carry a token by which ROS knows a repetition.
		again: q["ClientToken"] != "" || strings.HasPrefix(action, "Get") || strings.HasPrefix(action, "List") || strings.HasPrefix(action, "Preview") ||
			strings.HasPrefix(action, "Validate")}
}

// A Stack is what ROS says of one. Source: GetStack, ListStacks.
type Stack struct {
	ID           string `json:"StackId"`
	Name         string `json:"StackName"`
	Status       string
	StatusReason string
	Outputs      []struct {
		OutputKey   string
		OutputValue any
	}
	Parameters []struct{ ParameterKey, ParameterValue string }
}

// Output returns the value of an output, or "".
func (s Stack) Output(name string) string {
	for _, o := range s.Outputs {
		if o.OutputKey == name && o.OutputValue != nil {
			return fmt.Sprint(o.OutputValue)
		}
	}
	return ""
}

// InProgress says whether ROS is still working on it.
func (s Stack) InProgress() bool { return strings.HasSuffix(s.Status, "_IN_PROGRESS") }

// A Resource is one of a stack.
type Resource struct {
	LogicalResourceID  string `json:"LogicalResourceId"`
	PhysicalResourceID string `json:"PhysicalResourceId"`
	ResourceType       string
	Status             string
	StatusReason       string
	Action             string // of PreviewStack: Add, Modify, Remove, None
	Replacement        string // of PreviewStack: True when it is made anew
}

// ValidateTemplate asks ROS whether it can read a template. Source: ValidateTemplate.
func (c *Client) ValidateTemplate(ctx context.Context, template string) error {
	return c.do(ctx, c.ros("ValidateTemplate", map[string]string{"TemplateBody": template}), nil)
}

// FindStack returns the stack of a name, and whether there is one. Its outputs
// are not filled in. Source: ListStacks.
func (c *Client) FindStack(ctx context.Context, name string) (Stack, bool, error) {
	var v struct{ Stacks []Stack }
	if err := c.do(ctx, c.ros("ListStacks", map[string]string{"StackName.1": name}), &v); err != nil {
		return Stack{}, false, err
	}
	for _, s := range v.Stacks {
		if s.Name == name && s.Status != "DELETE_COMPLETE" {
			return s, true, nil
		}
	}
	return Stack{}, false, nil
}

// Stack returns a stack by its id. Source: GetStack.
func (c *Client) Stack(ctx context.Context, id string) (Stack, error) {
	return get[Stack](ctx, c, c.ros("GetStack", map[string]string{"StackId": id}))
}

// StackResources returns what a stack consists of. Source: ListStackResources.
func (c *Client) StackResources(ctx context.Context, id string) ([]Resource, error) {
	var v struct{ Resources []Resource }
	err := c.do(ctx, c.ros("ListStackResources", map[string]string{"StackId": id}), &v)
	return v.Resources, err
}

// PreviewStack returns what making or updating a stack would do; id is "" for a
// new one. Source: PreviewStack.
func (c *Client) PreviewStack(ctx context.Context, id, name, template string, parameters map[string]string) ([]Resource, error) {
	var v struct {
		Stack struct{ Resources []Resource }
	}
	q := withParameters(map[string]string{"TemplateBody": template}, parameters)
	if id != "" {
		q["StackId"] = id
	} else {
		q["StackName"] = name
	}
	err := c.do(ctx, c.ros("PreviewStack", q), &v)
	return v.Stack.Resources, err
}

// CreateStack begins to make a stack and returns its id. What was made is taken
// back if one resource fails. token makes a repetition harmless. Source: CreateStack.
func (c *Client) CreateStack(ctx context.Context, name, template string, parameters map[string]string, token string) (string, error) {
	var v struct {
		StackID string `json:"StackId"`
	}
	q := withParameters(map[string]string{"StackName": name, "TemplateBody": template, "DisableRollback": "false",
		"TimeoutInMinutes": "30", "ClientToken": token}, parameters)
	err := c.do(ctx, c.ros("CreateStack", q), &v)
	return v.StackID, err
}

// UpdateStack begins to update a stack. changed is false when ROS answers that
// there is nothing to do. Source: UpdateStack.
func (c *Client) UpdateStack(ctx context.Context, id, template string, parameters map[string]string, token string) (changed bool, err error) {
	q := withParameters(map[string]string{"StackId": id, "TemplateBody": template, "TimeoutInMinutes": "30", "ClientToken": token}, parameters)
	err = c.do(ctx, c.ros("UpdateStack", q), nil)
	// "Update the completely same stack is not supported" has this code.
	if Code(err) == "NotSupported" {
		return false, nil
	}
	return err == nil, err
}

// DeleteStack begins to delete a stack, but for the resources in keep. Deleting
// twice is harmless. Source: DeleteStack.
func (c *Client) DeleteStack(ctx context.Context, id string, keep []string) error {
	q := map[string]string{"StackId": id}
	for i, name := range keep {
		q["RetainResources."+strconv.Itoa(i+1)] = name
	}
	r := c.ros("DeleteStack", q)
	r.again = true
	return c.do(ctx, r, nil)
}

func withParameters(q, parameters map[string]string) map[string]string {
	for i, name := range slices.Sorted(maps.Keys(parameters)) {
		n := strconv.Itoa(i + 1)
		q["Parameters."+n+".ParameterKey"] = name
		q["Parameters."+n+".ParameterValue"] = parameters[name]
	}
	return q
}
