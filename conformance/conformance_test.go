//go:build conformance

package conformance

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/mns"
	"github.com/regild/regild/internal/localcloud/oss"
)

// The one key of the account is temporary, so that every client has to send its token as well.
const (
	accessKey = "STS.conformance"
	secret    = "a secret of the conformance tests"
	token     = "a token/of+the conformance tests=="
	region    = "cn-hangzhou"
)

// limit bounds one file of tests. They take a second or two; a client that waits for an answer would wait for minutes.
const limit = 2 * time.Minute

func TestClientsOfTheVendorAreContent(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("node"); err != nil {
		t.Fatal("node is missing: install Node.js 18 or later, then run make conformance")
	}
	if _, err := os.Stat("node_modules"); err != nil {
		t.Fatal("the npm packages are missing: run make conformance, which installs them")
	}
	files, err := filepath.Glob("*.test.js")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no *.test.js (%v)", err)
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			runNode(t, file, cloud(t))
		})
	}
}

// runNode runs one file of tests with Node's own runner.
func runNode(t *testing.T, file string, env []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "--test", "--test-reporter=tap", file)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	passed := regexp.MustCompile(`(?m)^# pass ([1-9][0-9]*)$`).FindSubmatch(out.Bytes())
	if passed == nil {
		t.Fatalf("no test ran\n%s", out.Bytes())
	}
	t.Logf("%s tests passed", passed[1])
}

// cloud starts the stand-ins on a clock 60 times as fast as real time, and returns the environment that leads to them.
func cloud(t *testing.T) []string {
	t.Helper()
	fast := clock.New(time.Now(), 60)

	desktops, err := ecd.New(state(), ecd.Options{Clock: fast, Keys: []ecd.Keys{{ID: accessKey, Secret: secret, Token: token}}})
	if err != nil {
		t.Fatal(err)
	}
	messages := mns.New(mns.Options{Clock: fast, RegionID: region, Keys: []mns.Keys{{ID: accessKey, Secret: secret, Token: token}}})
	messages.CreateQueue("fan-out", mns.QueueAttributes{})
	messages.CreateTopic("news")
	messages.Subscribe("news", "json", mns.Subscription{
		Endpoint: messages.QueueEndpoint("fan-out"), FilterTag: "accepted", Format: "JSON",
	})
	objects := oss.New(oss.Options{Clock: fast, Region: region, Buckets: []string{"journal"}, Keys: []oss.Keys{{ID: accessKey, Secret: secret, Token: token}}})

	return []string{
		"REGILD_TEST_AK=" + accessKey,
		"REGILD_TEST_SK=" + secret,
		"REGILD_TEST_TOKEN=" + token,
		"REGILD_TEST_REGION=" + region,
		"REGILD_TEST_ECD=" + serve(t, desktops.Handler()),
		"REGILD_TEST_MNS=" + serve(t, messages.Handler()),
		"REGILD_TEST_OSS=" + serve(t, objects.Handler()),
	}
}

func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// state is what ecd.test.js expects to find: 130 desktops on the old image, and some that each behave in their own way.
func state() ecd.State {
	return ecd.State{
		Images: []ecd.Image{
			{ID: "m-old0000000001", RegionID: region, Name: "win11-office"},
			{ID: "m-new0000000001", RegionID: region, Name: "win11-office"},
			{ID: "m-gpu0000000001", RegionID: region, Name: "win11-graphics", GPU: true},
			{ID: "m-odd0000000001", RegionID: region, Name: "it's (50%) *new*! ~ü+&="},
		},
		Desktops: []ecd.Desktop{
			{ID: "ecd-many%04d", RegionID: region, ImageID: "m-old0000000001", OfficeSiteID: "cn-hangzhou+dir-many", Count: 130},
			{ID: "ecd-pooled0001", RegionID: region, ImageID: "m-old0000000001", GroupID: "dg-pool0001"},
			{ID: "ecd-quick00001", RegionID: region, ImageID: "m-old0000000001", RebuildTakes: 5 * time.Second},
			{ID: "ecd-stuck00001", RegionID: region, ImageID: "m-old0000000001", Sticks: true},
			{ID: "ecd-fails00001", RegionID: region, ImageID: "m-old0000000001", RebuildTakes: 5 * time.Second, EndsAs: "fail", Reason: "out of stock"},
			{ID: "ecd-still00001", RegionID: region, ImageID: "m-old0000000001"},
			{ID: "ecd-tagged0001", RegionID: region, ImageID: "m-old0000000001", Tags: map[string]string{"ring": "canary"}},
			{ID: "ecd-power00001", RegionID: region, ImageID: "m-old0000000001"},
		},
	}
}
