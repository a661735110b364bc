package acs

import (
	"context"
	"strings"
)

// An Identity is who the credentials belong to.
type Identity struct {
	AccountID string `json:"AccountId"`
	ARN       string `json:"Arn"`
}

// Identity asks whose the credentials are. Everybody may. Source:
// GetCallerIdentity of Security Token Service.
func (c *Client) Identity(ctx context.Context) (Identity, error) {
	return get[Identity](ctx, c, request{action: "GetCallerIdentity", version: "2015-04-01", host: "sts." + c.region + ".aliyuncs.com", again: true})
}

// ramVersion and ramHost are of Resource Access Management, which is one for
// all regions.
const (
	ramVersion = "2015-05-01"
	ramHost    = "ram.aliyuncs.com"
)

func ram(action string, query map[string]string) request {
	return request{action: action, version: ramVersion, host: ramHost, query: query, again: strings.HasPrefix(action, "Get") || strings.HasPrefix(action, "List")}
}

// Role returns the trust policy of a role, in JSON. Source: GetRole.
func (c *Client) Role(ctx context.Context, name string) (trust string, err error) {
	var v struct {
		Role struct{ AssumeRolePolicyDocument string }
	}
	err = c.do(ctx, ram("GetRole", map[string]string{"RoleName": name}), &v)
	return v.Role.AssumeRolePolicyDocument, err
}

// RolePolicies returns the policies that are attached to a role, by name, each
// in JSON. Sources: ListPoliciesForRole, GetPolicyVersion.
func (c *Client) RolePolicies(ctx context.Context, role string) (map[string]string, error) {
	var v struct {
		Policies struct {
			Policy []struct{ PolicyName, PolicyType, DefaultVersion string }
		}
	}
	if err := c.do(ctx, ram("ListPoliciesForRole", map[string]string{"RoleName": role}), &v); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, p := range v.Policies.Policy {
		var doc struct {
			PolicyVersion struct{ PolicyDocument string }
		}
		err := c.do(ctx, ram("GetPolicyVersion", map[string]string{"PolicyName": p.PolicyName, "PolicyType": p.PolicyType, "VersionId": p.DefaultVersion}), &doc)
		if err != nil {
			return nil, err
		}
		out[p.PolicyName] = doc.PolicyVersion.PolicyDocument
	}
	return out, nil
}

// ServiceLinkedRole says whether the account has a service-linked role of
// EventBridge, such as AliyunServiceRoleForEventBridgeSourceMNS. Source:
// CheckServiceLinkedRoleForProduct of EventBridge.
func (c *Client) ServiceLinkedRole(ctx context.Context, role string) (bool, error) {
	var v struct {
		Data struct{ CheckPass bool }
	}
	err := c.do(ctx, request{action: "CheckServiceLinkedRoleForProduct", version: "2020-04-01",
		host: "eventbridge-console." + c.region + ".aliyuncs.com", query: map[string]string{"ProductName": role}, again: true}, &v)
	return v.Data.CheckPass, err
}
