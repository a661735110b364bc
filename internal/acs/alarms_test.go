package acs_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/regild/regild/internal/acs"
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

// Of two rules of one name the one that is not read may be the one in ALARM.
func TestAlarmsAreReadToTheEndWhateverTheirCountSays(t *testing.T) {
	rule := func(state string) string {
		return fmt.Sprintf(`{"RuleName":"x","AlertState":%q,"EnableState":true}`, state)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list := ""
		switch r.FormValue("Page") {
		case "1":
			list = strings.TrimSuffix(strings.Repeat(rule("OK")+",", 100), ",")
		case "2":
			list = rule("ALARM") + `,{"RuleName":"last","AlertState":"OK","EnableState":true}`
		}
		fmt.Fprintf(w, `{"Code":200,"Success":true,"Total":0,"Alarms":{"Alarm":[%s]}}`, list)
	}))
	t.Cleanup(server.Close)
	c, err := acs.New(acs.Config{Region: "cn-hangzhou", AccountID: "1234567890123456", Endpoint: server.URL,
		Keys: func(context.Context) (credentials.Keys, error) {
			return credentials.Keys{ID: "LTAItest", Secret: "secret"}, nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Alarms(t.Context(), "x"); err != nil || len(got) != 101 {
		t.Errorf("got %d rules (%v), want 101", len(got), err)
	}
	// Found wrong: the doctor read the first page alone.
	if got, err := c.AlarmRules(t.Context(), "la"); err != nil || !got["last"] {
		t.Errorf("got the rules %v (%v), want that of the second page", got, err)
	}
}
