package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/internal/localcloud"
)

// serve keeps the cloud running until ctx ends.
func (s *session) serve(ctx context.Context, w world, p *scenario) error {
	defer func() { _ = s.cloud.Close() }()
	printLines(w, s.guide())
	s.pacer.base = p.rate
	st := newDisplay(w, true)
	st.live = false
	st.open(ctx, s, nil)
	for _, a := range p.steps {
		if err := s.send(ctx, a); err != nil {
			return err
		}
	}
	if err := s.cloud.Run(ctx); err != nil {
		return p.log.with(err)
	}
	return nil
}

// guide says how to reach the cloud.
func (s *session) guide() []string {
	c := s.cloud
	keys := c.Keys()
	out := []string{
		"The cloud runs until Ctrl-C. " + s.cloud.Clock.Now().In(s.zone).Format(time.RFC1123) + " is its time.",
		"",
		"  Elastic Desktop Service  " + c.ECDURL,
		"  Message Service          " + c.MNSURL,
		"  Object Storage           " + c.OSSURL,
		"  for people and scripts   " + c.AdminURL,
		"",
		"Send a request or a release to the function, and look at what there is:",
		"",
		"  curl --data-binary @request.json " + c.AdminURL + "/admin/send",
		"  curl " + c.AdminURL + "/admin/desktops",
		"  curl '" + c.AdminURL + "/admin/outcomes?topic=" + localcloud.ResultTopic + "'",
		"  curl " + c.AdminURL + "/admin/wipes",
		"  curl --data '{advance: 1h}' " + c.AdminURL + "/clock",
		"  curl --data '{service: ecd, operation: RebuildDesktops, kind: throttle, times: 3}' " + c.AdminURL + "/admin/faults",
		"",
		"In another terminal, say these to have regild find it (status, release, watch, tail, dashboard: docs/cli.md), or a function or",
		"client of your own. The credentials are made up:",
		"",
	}
	env := append(c.Env(), s.operatorEnv()...)
	env = append(env, "ALIBABA_CLOUD_ACCESS_KEY_ID="+keys.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+keys.Secret, "ALIBABA_CLOUD_SECURITY_TOKEN="+keys.Token)
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		out = append(out, "  export "+name+"='"+value+"'")
	}
	return append(out, "")
}

// outcomesQueue is a queue that outcomes come to, for regild tail.
const outcomesQueue = "ops-outcomes"

// withOutcomes adds that queue to a cloud that has none of the name.
func withOutcomes(state localcloud.State) localcloud.State {
	if slices.ContainsFunc(state.Queues, func(q localcloud.Queue) bool { return q.Name == outcomesQueue }) {
		return state
	}
	state.Queues = append(slices.Clone(state.Queues), localcloud.Queue{Name: outcomesQueue})
	state.Subscriptions = append(slices.Clone(state.Subscriptions), localcloud.Subscription{Topic: localcloud.ResultTopic, Name: outcomesQueue,
		Queue: outcomesQueue})
	return state
}

// operatorEnv are the settings of the operator's command that no function has.
func (s *session) operatorEnv() []string {
	env := []string{"REGILD_REGION=" + serveRegion, "REGILD_ACCOUNT=" + serveAccount, "REGILD_OUTCOMES_QUEUE=" + outcomesQueue, "REGILD_BY=you@example.com"}
	if zone := s.zone.String(); zone != "Local" {
		env = append(env, "REGILD_TIME_ZONE="+zone)
	}
	return env
}

// Where the function of the local cloud is, and whose.
const (
	serveRegion  = "cn-hangzhou"
	serveAccount = "1234567890123456"
)
