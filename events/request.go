package events

import (
	"strings"
	"time"
)

// MaxRequestID bounds a request's own id, in characters.
const MaxRequestID = 128

// Consents: what the sender of a request knowingly destroys.
const (
	ConsentOSChange  = "os-change" // another OS family: the data disk is erased
	ConsentDataDisk  = "data-disk" // operateType replace: the data disk is replaced
	ConsentSessions  = "sessions"  // people who are connected lose their work
	ConsentDowngrade = "downgrade" // an image older than the desktop's own
	ConsentReset     = "reset"     // no imageId: back to the current image
	ConsentSnapshots = "snapshots" // snapshots that the rebuild deletes, where the fleet keeps them
	ConsentFreeze    = "freeze"    // the rebuild is wanted though somebody has frozen the region or fleet
)

// FleetConsents are those that fleets.yaml may give for every release of a fleet.
var FleetConsents = []string{ConsentOSChange, ConsentDataDisk, ConsentSessions, ConsentDowngrade, ConsentSnapshots}

// Consents lists all of them.
var Consents = []string{ConsentOSChange, ConsentDataDisk, ConsentSessions, ConsentDowngrade, ConsentReset, ConsentSnapshots, ConsentFreeze}

// What RebuildDesktops takes for its options. Source: RebuildDesktops,
// "OperateType", "Language", "AfterStatus".
var (
	OperateTypes  = []string{"replace"}
	Languages     = []string{"en-US", "zh-HK", "zh-CN", "ja-JP"}
	AfterStatuses = []string{"Running", "Stopped"}
)

// A Request is the data of regild.rebuild.requested.v1: it asks that named
// desktops be rebuilt.
type Request struct {
	// RequestID is the sender's name for the request; without one its identity
	// is the transport's. The same id with other content is refused.
	RequestID string `json:"requestId,omitempty"`
	// AccountID is whose desktops they are: of an account that fleets.yaml declares;
	// "": of the function's own.
	AccountID  string   `json:"accountId,omitempty"`
	RegionID   string   `json:"regionId"`
	DesktopIDs []string `json:"desktopIds"` // 1 to MaxDesktops, each once
	// ImageID is the image to rebuild to; "" resets to the current image.
	ImageID     string   `json:"imageId,omitempty"`
	OperateType string   `json:"operateType,omitempty"` // one of OperateTypes, or ""
	Language    string   `json:"language,omitempty"`    // one of Languages, or ""
	AfterStatus string   `json:"afterStatus,omitempty"` // one of AfterStatuses, or ""
	Consent     []string `json:"consent,omitempty"`     // of Consents, each once
	// NotBefore is when the rebuilds may begin; zero: at once. At most 7 days ahead
	// of when the request comes.
	NotBefore time.Time `json:"notBefore,omitzero"`
	DryRun    bool      `json:"dryRun,omitempty"`
	// PlanDigest, when set, demands that the plan made now is the one that was
	// shown before (see DigestPlan).
	PlanDigest string `json:"planDigest,omitempty"`
}

// A spelling gives the names of the fields that ours and the API's own
// parameter object share.
type spelling struct{ region, desktops, image, operate, language, after string }

var (
	ourSpelling = spelling{"regionId", "desktopIds", "imageId", "operateType", "language", "afterStatus"}
	apiSpelling = spelling{"RegionId", "DesktopId", "ImageId", "OperateType", "Language", "AfterStatus"}
	// ourOwn are fields that RebuildDesktops does not have.
	ourOwn = []string{"requestId", "accountId", "consent", "notBefore", "dryRun", "planDigest"}
)

func (s spelling) names() []string {
	return []string{s.region, s.desktops, s.image, s.operate, s.language, s.after}
}

// ParseRequest reads a request in our spelling, or as a plain parameter object
// of RebuildDesktops in the API's own. The error, if any, is a *Faults with
// everything that is wrong. Then the request still holds the request id, account and
// region and those desktop ids that could be read, so that the refusal can be
// addressed to each desktop; nothing else of it may be used.
func ParseRequest(data []byte) (Request, error) {
	r := read(data)
	ours := r.present(append(ourSpelling.names(), ourOwn...))
	apis := r.present(apiSpelling.names())
	if len(apis) == 0 {
		return r.request(ourSpelling, true), r.finish()
	}
	if len(ours) == 0 {
		return r.request(apiSpelling, false), r.finish()
	}
	r.faults.add("", "the message mixes two spellings, regild's (%s) and that of RebuildDesktops (%s); use one",
		strings.Join(ours, ", "), strings.Join(apis, ", "))
	req := r.request(r.mixed(), true)
	r.known = append(r.known, append(ours, apis...)...)
	return req, r.finish()
}

// mixed returns for each field the spelling in which it is there.
func (r *reader) mixed() spelling {
	pick := func(our, api string) string {
		if r.has(api) && !r.has(our) {
			return api
		}
		return our
	}
	o, a := ourSpelling, apiSpelling
	return spelling{
		pick(o.region, a.region), pick(o.desktops, a.desktops), pick(o.image, a.image),
		pick(o.operate, a.operate), pick(o.language, a.language), pick(o.after, a.after),
	}
}

// request reads all fields of a request in the order of the contract, those
// that only we have when own says so.
func (r *reader) request(s spelling, own bool) Request {
	var req Request
	if own {
		req.RequestID = r.str("requestId", CheckRequestID)
		req.AccountID = r.str("accountId", checkAccount)
	}
	req.RegionID = r.must(s.region, "name the region of the desktops, such as cn-hangzhou", checkRegion)
	r.require(s.desktops, "list the desktops to rebuild")
	req.DesktopIDs = r.texts(s.desktops, 1, MaxDesktops, checkDesktop)
	req.ImageID = r.str(s.image, checkImage)
	req.OperateType = r.str(s.operate, oneOf(OperateTypes...))
	req.Language = r.str(s.language, oneOf(Languages...))
	req.AfterStatus = r.str(s.after, oneOf(AfterStatuses...))
	if own {
		req.Consent = r.texts("consent", 0, len(Consents), oneOf(Consents...))
		req.NotBefore = r.instant("notBefore")
		req.DryRun = r.flag("dryRun")
		req.PlanDigest = r.str("planDigest", checkDigest)
	}
	return req
}

// present returns those of names that the object has.
func (r *reader) present(names []string) []string {
	var there []string
	for _, name := range names {
		if r.has(name) {
			there = append(there, name)
		}
	}
	return there
}
