package main

import (
	"context"
	"strings"
	"time"

	"github.com/regild/regild/internal/localcloud"
)

// serve keeps the cloud running until ctx ends.
func (s *session) serve(ctx context.Context, w world, p *play) error {
	defer func() { _ = s.cloud.Close() }()
	for _, l := range s.guide() {
		say(w.out, "%s\n", l)
	}
	s.pacer.base = p.rate
	st := newStage(w, true)
	st.live = false
	st.open(ctx, s, nil)
	for _, a := range p.acts {
		if err := s.send(ctx, a); err != nil {
			return err
		}
	}
	err := s.cloud.Run(ctx)
	if err != nil {
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
		"Point a function or a client of your own at it (the credentials are made up):",
		"",
	}
	env := append(c.Env(), "ALIBABA_CLOUD_ACCESS_KEY_ID="+keys.ID, "ALIBABA_CLOUD_ACCESS_KEY_SECRET="+keys.Secret, "ALIBABA_CLOUD_SECURITY_TOKEN="+keys.Token)
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		out = append(out, "  export "+name+"='"+value+"'")
	}
	return append(out, "")
}
