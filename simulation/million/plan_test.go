package million

import (
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/internal/fleet"
)

// A plan is how large the cloud is, how fast, and what is wrong in it.
type plan struct {
	desktops, fleets, accounts, regions int
	// instances is how many invocations there may be at once.
	instances int
	// bound is how many desktops an invocation takes on; 0: as in production. A tenth of all
	// desktops with a tenth of the bound take a tenth of the time, and wait as long for one another.
	bound int
	// takes is how long ECD takes for a rebuild, and spread by how much more or less
	// that may be for one desktop.
	takes, spread time.Duration
	// slow is how often ECD takes a call of the throttled account, in a region.
	slow time.Duration
	// revoked is when the role of an account is taken away, and dark when a region no
	// longer answers. Until then they are as the others are. 0: never.
	revoked, dark time.Duration
	// limit is how long it may last at most, with everything that was wrong mended once
	// the healthy have ended.
	limit time.Duration
}

// What calls take. The journal's reads are made under a lock of the handler, for
// which the fake clock does not pass: they are added to an invocation's time.
const (
	rebuildTakes = 150 * time.Millisecond
	readTakes    = 100 * time.Millisecond
	refusalTakes = 30 * time.Millisecond // of a throttled call
	messageTakes = 5 * time.Millisecond
	appendTakes  = 20 * time.Millisecond
	getTakes     = 20 * time.Millisecond
)

// The function as s.yaml has it.
const (
	timeout     = 280 * time.Second
	batchSize   = 10
	batchWindow = time.Second
	sweepEvery  = 15 * time.Minute
)

// The accounts with which something is wrong, and the region. The first account is
// the function's own.
const (
	throttledAccount = 1
	revokedAccount   = 2
	darkRegion       = 4
)

const (
	oldImage = "m-84mztzatmlnys0000"
	newImage = "m-84mztzatmlnys0001"
)

// A shard is a fleet: some desktops of an account in a region.
type shard struct {
	name, account, region string
	accountN, regionN     int
	first, size           int // its desktops, by number
	site                  string
}

var regions = []string{"cn-hangzhou", "cn-shanghai", "cn-beijing", "cn-shenzhen", "ap-southeast-1"}

func accountID(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("2%015d", n)
}

// shards shares the desktops out among the fleets: of each eight the largest has
// eight times as many as the smallest. The fleets of an account are in different regions.
func (p plan) shards() []shard {
	weights := 0
	for n := range p.fleets {
		weights += 1 + n%8
	}
	var out []shard
	first, weight := 0, 0
	for n := range p.fleets {
		weight += 1 + n%8
		a := n % p.accounts
		r := (n/p.accounts + a) % p.regions
		s := shard{name: fmt.Sprintf("fleet%03d", n), account: accountID(a), region: regions[r], accountN: a, regionN: r, first: first}
		s.size = p.desktops*weight/weights - first
		s.site = s.region + "+dir-" + s.name
		first += s.size
		out = append(out, s)
	}
	return out
}

// fleetsFile is fleets.yaml.
func (p plan) fleetsFile(shards []shard) string {
	var out strings.Builder
	if p.accounts > 1 {
		out.WriteString("accounts:\n")
	}
	for a := 1; a < p.accounts; a++ {
		fmt.Fprintf(&out, "- {name: a%02d, id: %q, role: regild-member, regions: [%s]}\n", a, accountID(a), strings.Join(regions[:p.regions], ", "))
	}
	out.WriteString("fleets:\n")
	for _, s := range shards {
		fmt.Fprintf(&out, "- {name: %s, region: %s, images: [win11-office], select: {officeSiteIds: [%q]}, strategy: {approval: none}", s.name, s.region, s.site)
		if s.accountN > 0 {
			fmt.Fprintf(&out, ", account: a%02d", s.accountN)
		}
		out.WriteString("}\n")
	}
	return out.String()
}

// release is the message that everything begins with.
func (p plan) release() []byte {
	var images []string
	for _, r := range regions[:p.regions] {
		images = append(images, fmt.Sprintf("%q:%q", r, newImage))
	}
	return []byte(`{"specversion":"1.0","type":"regild.image.published.v1","id":"rel","source":"golden","datacontenttype":"application/json","data":{"releaseId":"2026.11.3","images":{` +
		strings.Join(images, ",") + `}}}`)
}

// healthy says whether nothing is wrong with what a fleet needs.
func (p plan) healthy(s shard) bool { return p.wrong(s) == "" }

// wrong says what is wrong with a fleet's account or region, or "".
func (p plan) wrong(s shard) string {
	switch {
	case p.dark > 0 && s.regionN == darkRegion:
		return "dark"
	case p.slow > 0 && s.accountN == throttledAccount:
		return "throttled"
	case p.revoked > 0 && s.accountN == revokedAccount:
		return "revoked"
	}
	return ""
}

// takesFor is how long ECD takes to rebuild a desktop.
func (p plan) takesFor(desktop int) time.Duration {
	if p.spread == 0 {
		return p.takes
	}
	h := uint64(desktop+1) * 0x9E3779B97F4A7C15
	h ^= h >> 32
	return p.takes - p.spread + time.Duration(h%uint64(2*p.spread))
}

// least is the least time that the fleet's strategy leaves: in each wave as many at
// once as maxUnavailable says, each for as long as it is rebuilt and has to be
// stable, the next as soon as one has ended; and the soak between waves.
func (p plan) least(s shard, by fleet.Strategy) time.Duration {
	var all time.Duration
	from := 0
	for _, end := range by.WaveEnds(s.size, by.Canary.Size(s.size, 0)) {
		if end == from {
			continue
		}
		if from > 0 {
			all += by.Soak
		}
		places := make([]time.Duration, min(by.AtOnce(s.size), end-from)) // when each is free: a heap, the earliest first
		var last time.Duration
		for n := from; n < end; n++ {
			places[0] += p.takesFor(s.first+n) + by.Check.Stable
			last = max(last, places[0])
			sink(places)
		}
		all += last
		from = end
	}
	return all
}

// sink puts the first of a heap into its place.
func sink(heap []time.Duration) {
	for at := 0; ; {
		least := at
		for child := 2*at + 1; child <= 2*at+2 && child < len(heap); child++ {
			if heap[child] < heap[least] {
				least = child
			}
		}
		if least == at {
			return
		}
		heap[at], heap[least] = heap[least], heap[at]
		at = least
	}
}
