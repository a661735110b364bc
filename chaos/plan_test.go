package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
)

const region = "cn-hangzhou"

// begin is when every schedule begins: a Monday morning.
var begin = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// A plan is all that a schedule does, made up before it begins.
type plan struct {
	seed     uint64
	state    localcloud.State
	fleets   fleet.Fleets
	yaml     string // of the fleets; "" for none
	account  string // whose the desktops are; "": the function's own
	journal  string // oss or file
	workers  int
	batch    int
	tries    int
	timeout  time.Duration // of one invocation, real time
	duplex   int           // in a thousand: time passes at a moment of a call
	forsaken int           // in a thousand: what failed is not delivered again

	deeds  []deed
	kills  []kill
	killAt int // kill once, at the n-th moment of the whole schedule; 0: not
	calm   time.Duration

	sent     []sent
	releases []release
}

// A deed is something that happens at a time.
type deed struct {
	at   time.Duration // after the begin
	what string
	do   func(*world)
}

// A kill is the moment of one: the n-th call of an operation, and where it
// stands then. Lost means received, and nothing of it is done.
type kill struct {
	service, operation string
	n                  int
	phase              fault.Phase
}

const lost fault.Phase = "lost"

// sent is one request that is sent, and what it is.
type sent struct {
	id    string
	req   events.Request
	body  []byte
	valid bool // false: it must be refused as a whole
	dry   bool
}

// release is one release, or what it is called in control messages.
type release struct {
	id   string
	body []byte
}

// dice is what a plan is made up with.
type dice struct{ *rand.Rand }

func (d dice) of(n int) bool { return d.IntN(n) == 0 }

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

func (d dice) upTo(t time.Duration) time.Duration { return time.Duration(d.Int64N(int64(t))) }

// compose makes up the schedule of a seed.
func compose(seed uint64) *plan {
	d := dice{rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
	p := &plan{
		seed: seed, journal: pick(d, "oss", "oss", "oss", "file"), workers: pick(d, 1, 2, 2), batch: pick(d, 1, 3, 10),
		tries: pick(d, 4, 20), timeout: 60 * time.Second, duplex: pick(d, 0, 5, 20), forsaken: pick(d, 0, 0, 0, 300, 1000),
		calm: pick(d, 20*time.Minute, 2*time.Hour, 6*time.Hour),
	}
	p.state.ECD = localcloud.ECD{Lag: pick(d, 0, 20*time.Second, 50*time.Second), FlipEarly: d.of(3), SuccessCode: pick(d, "Success", "success")}
	p.state.MNS = localcloud.MNS{Duplicate: pick(d, 0, 0, 0.2), Unordered: d.of(3), Seed: seed}
	p.images()
	n := pick(d, 1+d.IntN(6), 1+d.IntN(6), 1+d.IntN(6), 1+d.IntN(6), 7+d.IntN(14), 7+d.IntN(14), 21+d.IntN(40))
	ids := p.desktops(d, n)
	if !d.of(3) {
		p.declare(d)
	}
	for n := range d.IntN(4) {
		p.request(d, n+1, ids)
	}
	if p.yaml != "" {
		p.release(d)
	}
	if len(p.sent)+len(p.releases) == 0 {
		p.request(d, 1, ids)
	}
	p.people(d, ids)
	p.storm(d)
	slices.SortStableFunc(p.deeds, func(a, b deed) int { return int(a.at - b.at) })
	return p
}

// images are an older and some newer ones, and some that do not fit.
func (p *plan) images() {
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, id := range []string{"m-ancient", "m-old", "m-new1", "m-new2", "m-outside", "m-broken", "m-gpu", "m-linux", "m-large", "m-late"} {
		image := ecd.Image{ID: id, RegionID: region, Name: "win11-office", GiB: 60, Created: made.AddDate(0, i, 0)}
		switch id {
		case "m-broken":
			image.Status = ecd.Creating
			image.ReadyAfter, image.EndsAs = 10*time.Minute, "fail"
		case "m-gpu":
			image.GPU = true
		case "m-linux":
			image.OS, image.Name = "linux", "ubuntu"
		case "m-large":
			image.GiB = 200
		case "m-late":
			image.Status, image.ReadyAfter = ecd.Creating, 20*time.Minute
		}
		p.state.Images = append(p.state.Images, image)
	}
	p.state.Images = append(p.state.Images, ecd.Image{ID: "m-shanghai", RegionID: "cn-shanghai", Name: "win11-office", GiB: 60, Created: made})
}

// desktops makes up n desktops, most of them ordinary, and returns their ids.
func (p *plan) desktops(d dice, n int) []string {
	var ids []string
	for i := range n {
		x := ecd.Desktop{ID: fmt.Sprintf("ecd-%04d", i), RegionID: region, ImageID: "m-old",
			Tags: map[string]string{"fleet": pick(d, "office", "office", "office", "none")}, OfficeSiteID: pick(d, "cn-hangzhou+dir-1", "cn-hangzhou+dir-2"),
			RebuildTakes: 90*time.Second + d.upTo(15*time.Minute)}
		if d.of(3) {
			x.Disks = []ecd.Disk{{Type: "SYSTEM", GiB: 80}, {Type: "DATA", GiB: 100}}
		}
		p.quirk(d, &x)
		p.state.Desktops = append(p.state.Desktops, x)
		ids = append(ids, x.ID)
	}
	return ids
}

// quirk makes every other desktop a special case.
func (p *plan) quirk(d dice, x *ecd.Desktop) {
	switch d.IntN(34) {
	case 0, 1:
		x.Status = ecd.Stopped
	case 2:
		x.GroupID = "dg-1"
	case 3:
		x.ImageID = "m-new1"
	case 4:
		x.GPU, x.ImageID = 1, "m-gpu"
	case 5, 6:
		x.EndsAs = "fail"
	case 7:
		x.Sticks = true
	case 8, 9:
		x.Status, x.Settles = pick(d, ecd.Starting, ecd.Stopping), d.upTo(2*time.Hour)
	case 10:
		x.Status = pick(d, ecd.Expired, ecd.Deleted, ecd.Failed, ecd.Hibernated)
	case 11:
		x.RegionID, x.ImageID = "cn-shanghai", "m-shanghai"
	case 12, 13, 14:
		x.Sessions, x.Leaves = []ecd.Session{{User: "alice", Disconnected: d.of(3)}}, pick(d, 0, d.upTo(4*time.Hour))
	case 15:
		x.Flags = []string{"Updating"}
	case 16:
		x.OS, x.ImageID = "linux", "m-linux"
	case 17:
		x.Ghost = true
	}
}

// request makes up one request, sometimes a bad one, and sends it once or twice.
func (p *plan) request(d dice, n int, ids []string) {
	req := events.Request{RequestID: fmt.Sprintf("r%d", n), AccountID: p.account, RegionID: region, ImageID: pick(d, "m-new1", "m-new1", "m-new1", "m-new2", "m-late"),
		AfterStatus: pick(d, "", "", "Running", "Stopped")}
	switch d.IntN(20) {
	case 0, 1:
		req.ImageID, req.Consent = "", []string{events.ConsentReset}
	case 2:
		req.ImageID = pick(d, "m-broken", "m-gpu", "m-large", "m-ancient", "m-none")
	case 3:
		req.ImageID, req.Consent = "m-linux", pick(d, nil, []string{events.ConsentOSChange})
	case 4:
		req.OperateType, req.Consent = "replace", pick(d, nil, []string{events.ConsentDataDisk})
	}
	if d.of(6) {
		req.Consent = append(req.Consent, events.ConsentSessions)
	}
	for _, id := range ids {
		if !d.of(4) {
			req.DesktopIDs = append(req.DesktopIDs, id)
		}
	}
	if len(req.DesktopIDs) == 0 || d.of(10) {
		req.DesktopIDs = append(req.DesktopIDs, "ecd-none")
	}
	s := sent{id: req.RequestID, req: req, valid: true, dry: d.of(20)}
	s.req.DryRun = s.dry
	switch {
	case d.of(20):
		s.valid = false
		s.body = []byte(fmt.Sprintf(`{"requestId":%q,"regionId":%q,"desktopIds":[],"imageID":7}`, s.id, region))
	default:
		s.body = message(events.TypeRequest, s.id, s.id, s.req)
	}
	p.sent = append(p.sent, s)
	p.send(d.upTo(10*time.Minute), "request "+s.id, s.body)
	if d.of(3) {
		p.send(d.upTo(3*time.Hour), "request "+s.id+" again", s.body)
	}
	if d.of(12) && s.valid && !s.dry { // another wish under the same name
		other := s.req
		other.DesktopIDs = append(slices.Clone(other.DesktopIDs), "ecd-other")
		p.send(10*time.Minute+d.upTo(time.Hour), "another request "+s.id, message(events.TypeRequest, s.id+"x", s.id, other))
	}
}

// release makes up one or two releases, and what people have to say of them.
func (p *plan) release(d dice) {
	first := pick(d, "m-new1", "m-new1", "m-new1", "m-late", "m-linux")
	p.publish("v1", first, d.upTo(5*time.Minute))
	if d.of(4) {
		p.send(d.upTo(3*time.Hour), "release v1 again", p.releases[0].body)
	}
	if d.of(3) {
		p.publish("v2", pick(d, "m-new2", "m-new2", "m-ancient"), d.upTo(3*time.Hour))
	}
	for n := range d.IntN(5) {
		of, name := pick(d, p.releases...), pick(d, p.fleets...).Name
		c := events.Control{RolloutID: of.id + "/" + name, Action: pick(d, events.Actions...), By: "alice", Reason: "because"}
		id := fmt.Sprintf("c%d", n)
		at := d.upTo(5 * time.Hour)
		p.send(at, c.Action+" "+c.RolloutID, message(events.TypeControl, id, c.RolloutID, c))
		if d.of(4) {
			p.send(at+d.upTo(time.Hour), c.Action+" "+c.RolloutID+" again", message(events.TypeControl, id, c.RolloutID, c))
		}
	}
}

func (p *plan) publish(id, image string, at time.Duration) {
	body := message(events.TypeRelease, id, id, map[string]any{"releaseId": id, "image": "win11-office", "images": map[string]string{region: image}})
	p.releases = append(p.releases, release{id, body})
	p.send(at, "release "+id+" of "+image, body)
}

// send puts a message on the request queue.
func (p *plan) send(at time.Duration, what string, body []byte) {
	p.deeds = append(p.deeds, deed{at, "send " + what, func(w *world) { w.send(body) }})
}

func message(kind, id, subject string, data any) []byte {
	body, err := events.Event{Type: kind, ID: id, Source: "chaos", Subject: subject, Time: begin, Data: data}.Marshal()
	if err != nil {
		panic(err) // the test is wrong
	}
	return body
}

// people come and go, and change things behind the function's back.
func (p *plan) people(d dice, ids []string) {
	for range d.IntN(2 + len(ids)/3) {
		id, at := pick(d, ids...), d.upTo(3*time.Hour)
		p.deeds = append(p.deeds,
			deed{at, "connect to " + id, func(w *world) { w.connect(id) }},
			deed{at + d.upTo(2*time.Hour), "leave " + id, func(w *world) { w.leave(id) }})
	}
	if d.of(4) {
		id := pick(d, ids...)
		p.deeds = append(p.deeds, deed{d.upTo(2 * time.Hour), "release " + id, func(w *world) { w.desktops().Remove(id) }})
	}
	if d.of(4) {
		id := pick(d, ids...)
		p.deeds = append(p.deeds, deed{d.upTo(2 * time.Hour), "change " + id + " by hand", func(w *world) { w.outside(id) }})
	}
}

// operations are the calls that the function makes, the more important ones more
// than once.
var operations = [][2]string{
	{"ecd", "RebuildDesktops"}, {"ecd", "RebuildDesktops"}, {"ecd", "RebuildDesktops"}, {"ecd", "RebuildDesktops"},
	{"ecd", "DescribeDesktops"}, {"ecd", "DescribeDesktops"}, {"ecd", "DescribeImages"}, {"ecd", "DescribeImageModifiedRecords"},
	{"ecd", "ListTagResources"}, {"ecd", "SetDesktopMaintenance"}, {"ecd", "StopDesktops"}, {"ecd", "StartDesktops"}, {"ecd", "RunCommand"}, {"ecd", "DescribeInvocations"},
	{"mns", "PublishMessage"}, {"mns", "PublishMessage"}, {"mns", "SendMessage"}, {"mns", "BatchSendMessage"},
	{"oss", "AppendObject"}, {"oss", "AppendObject"}, {"oss", "AppendObject"}, {"oss", "GetObject"},
}

// storm makes up what breaks, and when the function dies.
func (p *plan) storm(d dice) {
	for range d.IntN(9) {
		r := p.rule(d)
		p.deeds = append(p.deeds, deed{d.upTo(p.calm), "from now on: " + r.String(), func(w *world) { w.cloud.Faults.Add(r) }})
	}
	if p.account != "" {
		p.stormSTS(d)
	}
	for range d.IntN(7) {
		op := pick(d, operations...)
		p.kills = append(p.kills, kill{op[0], op[1], 1 + d.IntN(pick(d, 3, 12, 50)), pick(d, lost, fault.Received, fault.Done, fault.Answered)})
	}
}

// stormSTS makes up what breaks when the role is taken in the other account.
func (p *plan) stormSTS(d dice) {
	for range d.IntN(3) {
		r := fault.Rule{Service: "control", Operation: "AssumeRole", Times: 1 + d.IntN(3),
			Kind: pick(d, fault.Throttle, fault.Error, fault.HTML, fault.CloseBefore, fault.CloseAfter, fault.Truncate)}
		if r.Kind == fault.Error && d.of(2) {
			r.Status, r.Code = 403, "NoPermission"
		}
		p.deeds = append(p.deeds, deed{d.upTo(p.calm), "from now on: " + r.String(), func(w *world) { w.cloud.Faults.Add(r) }})
	}
	if d.of(3) {
		p.kills = append(p.kills, kill{"control", "AssumeRole", 1 + d.IntN(2), pick(d, lost, fault.Received, fault.Done, fault.Answered)})
	}
}

// rule makes up one fault, which strikes for some calls and not for ever.
func (p *plan) rule(d dice) fault.Rule {
	op := pick(d, operations...)
	r := fault.Rule{Service: op[0], Operation: op[1], Times: 1 + d.IntN(4), Skip: d.IntN(3), Probability: pick(d, 0, 0.3)}
	r.Kind = pick(d, fault.Throttle, fault.Error, fault.ErrorAfter, fault.HTML, fault.Empty, fault.EmptyAfter, fault.CloseBefore, fault.CloseAfter,
		fault.SlowBefore, fault.SlowAfter, fault.Truncate)
	if op[1] == "RebuildDesktops" {
		r.Kind = pick(d, r.Kind, r.Kind, fault.Desktop, fault.Missing)
	}
	switch r.Kind {
	case fault.SlowBefore, fault.SlowAfter:
		r.Delay = d.upTo(40 * time.Millisecond)
	case fault.Error, fault.ErrorAfter:
		r.Status, r.Code = 500, pick(d, "InternalError", "ServiceUnavailable")
		if r.Kind == fault.Error && op[0] == "ecd" && d.of(3) {
			r.Status, r.Code = 403, "Forbidden.RAM"
		} else if r.Kind == fault.Error && op[0] == "ecd" && d.of(3) {
			r.Status, r.Code = 400, "InvalidParameter"
		}
	case fault.Desktop:
		if len(p.state.Desktops) > 0 && d.of(2) {
			r.Desktop = pick(d, p.state.Desktops...).ID
		}
		r.Code = pick(d, "IncorrectDesktopStatus", "OperationDenied")
	case fault.Missing:
		r.Desktop = pick(d, p.state.Desktops...).ID
	}
	if op[0] == "ecd" && d.of(2) {
		p.anyAnswer(d, &r)
	}
	return r
}

// anyAnswer has ECD give any answer there can be: status, code, of the call or of
// a desktop, and with the work done or not, each drawn for itself. Only where the
// vendor's pages promise that nothing was done, nothing is.
func (p *plan) anyAnswer(d dice, r *fault.Rule) {
	r.Delay, r.Desktop, r.Message = 0, "", "any answer"
	r.Status, r.Code = pick(d, answerStatuses...), pick(d, answerCodes...)
	if len(p.state.Desktops) > 0 && d.of(2) {
		r.Desktop = pick(d, p.state.Desktops...).ID
	}
	ofDesktop := r.Operation == "RebuildDesktops" && d.of(2)
	done := d.of(2) && !nothingDone(ofDesktop, r.Status, r.Code)
	switch {
	case ofDesktop && done:
		r.Kind = fault.DesktopAfter
	case ofDesktop:
		r.Kind = fault.Desktop
	case done:
		r.Kind = fault.ErrorAfter
	default:
		r.Kind = fault.Error
	}
}

var (
	answerStatuses = []int{200, 202, 400, 401, 403, 404, 408, 409, 418, 422, 429, 499, 500, 502, 503, 504}
	answerCodes    = []string{
		"IncorrectDesktopStatus", "Throttling", "Throttling.User", "Rejected.Throttling", "FlowControl",
		"Forbidden", "Forbidden.RAM", "NoPermission", "Forbidden.Desktop", "OperationDenied", "OperationConflict", "DesktopInArrears",
		"SecurityTokenExpired", "InvalidSecurityToken.Expired", "InvalidAccessKeyId.NotFound", "SignatureDoesNotMatch", "SignatureNonceUsed",
		"InvalidParameter", "InvalidParameter.ImageId", "MissingParameter", "InvalidDesktopId.NotFound", "InvalidImageId.GpuMismatch", "NotFindDesktopId",
		"InternalError", "InternalError.Desktop", "ServiceUnavailable", "BackendTimeout", "RequestTimeout", "UnknownError", "InvalidParameter.Timeout",
		"IncorrectImageStatus", "Anything.Else",
	}
	// promises are the codes that the pages explain by something that is checked
	// before anything is done, with their statuses. It is kept apart from the
	// function's own table on purpose.
	promises = []struct {
		code     string
		statuses []int
		desktop  bool
	}{
		{"IncorrectDesktopStatus", []int{400, 403, 409}, true},
		{"Throttling", []int{400, 403, 429, 503}, true}, {"Throttling.User", []int{400, 403, 429, 503}, true}, {"Rejected.Throttling", []int{400, 403, 429, 503}, true},
		{"Forbidden", []int{400, 403}, true}, {"Forbidden.RAM", []int{400, 403}, true}, {"NoPermission", []int{400, 403}, true},
		{"SecurityTokenExpired", []int{400, 401, 403, 404}, false}, {"InvalidSecurityToken.Expired", []int{400, 401, 403, 404}, false},
		{"InvalidAccessKeyId.NotFound", []int{400, 401, 403, 404}, false}, {"SignatureDoesNotMatch", []int{400, 401, 403, 404}, false},
		{"InvalidParameter", []int{400, 404}, true}, {"InvalidParameter.ImageId", []int{400, 404}, true}, {"MissingParameter", []int{400, 404}, true},
		{"InvalidDesktopId.NotFound", []int{400, 404}, true}, {"InvalidImageId.GpuMismatch", []int{400, 404}, true}, {"NotFindDesktopId", []int{400, 404}, true},
	}
	// leaveOpen are the codes that leave it open even with a 401, which says by itself
	// that the request was not applied (RFC 9110, section 15.5.2).
	leaveOpen = []string{
		"InternalError", "InternalError.Desktop", "ServiceUnavailable", "BackendTimeout", "RequestTimeout", "UnknownError", "InvalidParameter.Timeout",
		"SignatureNonceUsed", "Throttling", "Throttling.User", "Rejected.Throttling",
	}
)

func nothingDone(ofDesktop bool, status int, code string) bool {
	if !ofDesktop && status == 401 && !slices.Contains(leaveOpen, code) {
		return true
	}
	for _, p := range promises {
		if p.code == code && (ofDesktop && p.desktop || !ofDesktop && slices.Contains(p.statuses, status)) {
			return true
		}
	}
	return false
}
