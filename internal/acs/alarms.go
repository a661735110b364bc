package acs

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/regild/regild/internal/desktop"
)

const (
	alarmPage     = 100
	maxAlarmPages = 20
)

// Renew has every call from now on use a connection that was made from now on.
func (c *Client) Renew() { c.wire.Renew() }

// Alarms returns the alarm rules of CloudMonitor that have the given name, exactly;
// there may be several, or none. Source: DescribeMetricRuleList, which matches
// RuleName loosely.
func (c *Client) Alarms(ctx context.Context, name string) ([]desktop.Alarm, error) {
	out, err := c.alarms(ctx, name, func(found string) bool { return found == name })
	if err != nil {
		return nil, fmt.Errorf("reading the alarm rule %s in %s: %w", name, c.region, err)
	}
	return out, nil
}

// AlarmRules returns the names of the alarm rules that begin with prefix, and whether
// each is on.
func (c *Client) AlarmRules(ctx context.Context, prefix string) (map[string]bool, error) {
	list, err := c.alarms(ctx, prefix, func(found string) bool { return strings.HasPrefix(found, prefix) })
	out := map[string]bool{}
	for _, a := range list {
		out[a.Name] = a.On
	}
	return out, err
}

// alarms reads all pages of the rules that CloudMonitor finds for a name, and returns
// those that are wanted.
func (c *Client) alarms(ctx context.Context, name string, wanted func(found string) bool) ([]desktop.Alarm, error) {
	var out []desktop.Alarm
	seen := 0
	for page := 1; page <= maxAlarmPages; page++ {
		var v struct {
			Total  any
			Alarms struct {
				Alarm []struct {
					RuleName, AlertState string
					EnableState          bool
				}
			}
		}
		err := c.do(ctx, request{action: "DescribeMetricRuleList", version: "2019-01-01", host: "metrics." + c.region + ".aliyuncs.com",
			query: map[string]string{"RuleName": name, "Page": strconv.Itoa(page), "PageSize": strconv.Itoa(alarmPage)}, again: true}, &v)
		if err != nil {
			return nil, err
		}
		for _, a := range v.Alarms.Alarm {
			if wanted(a.RuleName) {
				out = append(out, desktop.Alarm{Name: a.RuleName, State: a.AlertState, On: a.EnableState})
			}
		}
		seen += len(v.Alarms.Alarm)
		total, err := strconv.Atoi(fmt.Sprint(v.Total))
		if len(v.Alarms.Alarm) == 0 || err == nil && total > 0 && seen >= total || err != nil && len(v.Alarms.Alarm) < alarmPage {
			return out, nil
		}
	}
	return nil, &desktop.CallError{Call: "DescribeMetricRuleList", Message: fmt.Sprintf("more than %d pages", maxAlarmPages)}
}
