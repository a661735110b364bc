package acs_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/localcloud/control"
	"github.com/regild/regild/internal/localcloud/fault"
)

func TestAnAlarmIsFoundByItsExactName(t *testing.T) {
	cloud, c := start(t)
	cloud.Control.Change(func(a *control.Account) {
		a.Alarms["logon-errors"], a.AlarmStates["logon-errors"] = true, "ALARM"
		a.Alarms["quiet"] = false
		for i := range 250 { // the name is matched loosely
			a.Alarms[fmt.Sprintf("a-logon-errors-%03d", i)] = true
		}
	})
	for name, want := range map[string][]desktop.Alarm{
		"logon-errors": {{Name: "logon-errors", State: "ALARM", On: true}},
		"quiet":        {{Name: "quiet", State: "OK"}},
		"none":         nil,
	} {
		got, err := c.Alarms(t.Context(), name)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %+v (%v), want %+v", name, got, err, want)
		}
	}
}

func TestAnAlarmThatCannotBeReadIsAnError(t *testing.T) {
	cloud, c := start(t)
	cloud.Control.Change(func(a *control.Account) { a.Denied["cms:DescribeMetricRuleList"] = true })
	if _, err := c.Alarms(t.Context(), "x"); desktop.DeliveryOf(err) != desktop.Forbidden {
		t.Errorf("got %v, want forbidden", err)
	}
	cloud.Control.Change(func(a *control.Account) { clear(a.Denied) })
	cloud.Faults.Add(fault.Rule{Service: "control", Operation: "DescribeMetricRuleList", Kind: fault.Truncate})
	if got, err := c.Alarms(t.Context(), "x"); err == nil {
		t.Errorf("cut off: got %+v, want an error", got)
	}
	cloud.Faults.Clear()
	if _, err := client(t, cloud, credentials.Keys{ID: "LTAIother", Secret: "other"}).Alarms(t.Context(), "x"); desktop.DeliveryOf(err) != desktop.Forbidden {
		t.Errorf("with the wrong key: got %v, want forbidden", err)
	}
}
