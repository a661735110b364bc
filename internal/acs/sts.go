package acs

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

// An AssumeRole names a role to take, and how.
type AssumeRole struct {
	ARN string // acs:ram::ACCOUNT:role/NAME
	// Session is what ActionTrail shows: 2 to 32 letters, digits and .@-_ (a newer
	// page says 64, an older one 32).
	Session string
	// Policy is the session policy, in JSON: what the keys may do is what both it and
	// the role allow; "" leaves it to the role. The pages bound it at 1,024 or 2,048
	// characters.
	Policy     string
	ExternalID string // that the role's trust policy asks for; "": none
	Seconds    int    // how long the keys are valid: from 900 on, to 3600 where the role does not say more
}

// errNoKeys is an answer of AssumeRole that lacks what was asked for.
var errNoKeys = errors.New("it has no complete credentials with an end")

// AssumeRole takes a role and returns its credentials, and when they end by the
// service's clock. A caller that the role does not trust, that lacks sts:AssumeRole,
// or that gives another external id than the role asks for is refused alike, with
// NoPermission; a role that is not there with EntityNotExist.Role. Source:
// AssumeRole of Security Token Service.
func (c *Client) AssumeRole(ctx context.Context, a AssumeRole) (credentials.Keys, time.Time, error) {
	query := map[string]string{"RoleArn": a.ARN, "RoleSessionName": a.Session, "DurationSeconds": strconv.Itoa(a.Seconds)}
	for name, value := range map[string]string{"Policy": a.Policy, "ExternalId": a.ExternalID} {
		if value != "" {
			query[name] = value
		}
	}
	var v struct {
		Credentials struct {
			ID         string `json:"AccessKeyId"`
			Secret     string `json:"AccessKeySecret"`
			Token      string `json:"SecurityToken"`
			Expiration time.Time
		}
	}
	// Keys that nobody got end by themselves, so that the call may be sent again.
	err := c.do(ctx, request{action: "AssumeRole", version: "2015-04-01", host: "sts." + c.region + ".aliyuncs.com", query: query, again: true}, &v)
	keys := credentials.Keys{ID: v.Credentials.ID, Secret: v.Credentials.Secret, Token: v.Credentials.Token}
	if err == nil && (!keys.Complete() || keys.Token == "" || v.Credentials.Expiration.IsZero()) {
		err = &desktop.CallError{Call: "AssumeRole", Err: errNoKeys, Message: errNoKeys.Error()}
	}
	if err != nil {
		return credentials.Keys{}, time.Time{}, err
	}
	return keys, v.Credentials.Expiration, nil
}
