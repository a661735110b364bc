package main_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/fc"
)

const (
	leaseCloud = `
clock: {rate: 0}
images: [{id: m-new, regionId: cn-hangzhou, name: win11-office, created: 2026-11-20T02:30:00Z}, {id: m-old, regionId: cn-hangzhou, name: win11-office, created: 2026-10-06T02:30:00Z}]
desktops: [{id: "ecd-pc%03d", regionId: cn-hangzhou, imageId: m-old, count: 320}]
accounts:
  - id: "2000000000000002"
    roles: [{name: regild-member, trusts: [acs:ram::1234567890123456:role/regild-function]}]
    images: [{id: m-new, regionId: cn-hangzhou, name: win11-office, created: 2026-11-20T02:30:00Z}, {id: m-old, regionId: cn-hangzhou, name: win11-office, created: 2026-10-06T02:30:00Z}]
    desktops: [{id: "ecd-pc%03d", regionId: cn-hangzhou, imageId: m-old, count: 320}]
`
	leaseFleets = `
accounts: [{name: tools, id: "2000000000000002", role: regild-member, regions: [cn-hangzhou]}]
fleets:
  - {name: office, region: cn-hangzhou, images: [win11-office], select: all, requests: true}
  - {name: tools, account: tools, region: cn-hangzhou, images: [win11-office], select: all, requests: true}
`
)

// leaseUsage counts the calls of RebuildDesktops under way by account and region, and
// has the first of each place wait until so many are.
type leaseUsage struct {
	want  int
	mu    sync.Mutex
	byKey map[string]*placeUsage
}

type placeUsage struct {
	now, most int
	enough    chan struct{} // closed when the calls that are wanted are under way at once
}

func (u *leaseUsage) observe(p fault.Point) {
	if p.Operation != "RebuildDesktops" || p.Phase == fault.Done {
		return
	}
	u.mu.Lock()
	place := u.byKey[p.Account+"/"+p.Region]
	if place == nil {
		place = &placeUsage{enough: make(chan struct{})}
		u.byKey[p.Account+"/"+p.Region] = place
	}
	if p.Phase == fault.Answered {
		place.now--
		u.mu.Unlock()
		return
	}
	place.now++
	if place.now > place.most {
		if place.most = place.now; place.most == u.want {
			close(place.enough)
		}
	}
	u.mu.Unlock()
	<-place.enough
}

// Four processes of two functions with one journal call ECD in two accounts. In each
// account one of them may have four calls under way at once, and each other one. Around
// midnight (UTC) no more than one each are sure.
func TestAllInstancesTogetherKeepTheBoundOfAPlace(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	const each, instances, batches = 4, 4, 4
	const bound = each + instances - 1
	sure, day := bound, time.Now().UTC().Format(time.DateOnly)
	if time.Now().Add(2*time.Minute).UTC().Format(time.DateOnly) != day {
		sure = instances
	}
	state, err := localcloud.Parse([]byte(leaseCloud))
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{State: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	used := &leaseUsage{want: sure, byKey: map[string]*placeUsage{}}
	cloud.Faults.Observe(used.observe)
	cloud.Faults.Add(fault.Rule{Service: "ecd", Operation: "RebuildDesktops", Kind: fault.SlowBefore, Delay: 100 * time.Millisecond})
	fleets := filepath.Join(t.TempDir(), "fleets.yaml")
	if err := os.WriteFile(fleets, []byte(leaseFleets), 0o600); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for n, name := range []string{"regild", "regild-requests"} {
		host, err := fc.Start(t.Context(), fc.Function{Name: name, Path: function, Env: append(cloud.Env(), "REGILD_FLEETS="+fleets, fmt.Sprintf("REGILD_REBUILD_CONCURRENCY=%d", each)),
			Keys: cloud.Keys, Timeout: time.Minute, Instances: instances / 2, Stdout: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(host.Kill)
		for i := n * 2; i < n*2+2; i++ {
			wg.Go(func() {
				result, err := host.InvokeEvent(ctx, fc.Event{Payload: []byte(leaseRequests(i, batches*20))})
				if err == nil {
					err = result.Err()
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	cloud.Faults.Observe(nil)

	wiped := map[string]int{}
	for _, w := range cloud.Wipes() {
		wiped[w.AccountID+"/"+w.DesktopID]++
	}
	for _, account := range []string{"1234567890123456", "2000000000000002"} {
		if place := used.byKey[account+"/cn-hangzhou"]; place == nil || place.most < sure || place.most > bound {
			t.Errorf("account %s: got %+v, want %d to %d calls at once", account, place, sure, bound)
		}
		key := path.Join(localcloud.JournalPrefix, journal.Key("lease", account+"/cn-hangzhou/"+day))
		log, _ := cloud.OSS.Object(localcloud.JournalBucket, key)
		lines := strings.Split(strings.TrimSpace(string(log)), "\n")
		if sure == bound && (len(lines) < 2 || strings.Contains(lines[len(lines)-1], "until")) {
			t.Errorf("account %s: the lease was not given back:\n%s", account, log)
		}
	}
	if want := 2 * instances * batches * 20; len(wiped) != want || len(cloud.Wipes()) != want {
		t.Errorf("got %d wipes of %d desktops, want %d of as many", len(cloud.Wipes()), len(wiped), want)
	}
}

// leaseRequests is a delivery of two requests for n desktops, one in each account.
func leaseRequests(i, n int) string {
	ids := make([]string, n)
	for k := range ids {
		ids[k] = fmt.Sprintf("%q", fmt.Sprintf("ecd-pc%03d", i*n+k+1))
	}
	const request = `{"requestId":"%s-%d","regionId":"cn-hangzhou","imageId":"m-new","desktopIds":[%s]%s}`
	list := strings.Join(ids, ",")
	return "[" + fmt.Sprintf(request, "own", i, list, "") + "," + fmt.Sprintf(request, "tools", i, list, `,"accountId":"2000000000000002"`) + "]"
}
