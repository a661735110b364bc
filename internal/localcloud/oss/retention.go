package oss

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A worm is a bucket's retention policy: what is written is kept as it is for
// some days. One that is not locked within a day is void. Source: "Retention
// policies", "InitiateBucketWorm".
type worm struct {
	id      string
	days    int
	locked  bool
	created time.Time
}

const (
	day        = 24 * time.Hour
	maxRetains = 25550 // days
)

// policy returns the bucket's retention policy, nil if there is none.
func (s *Server) policy(b *bucket) *worm {
	if b.worm != nil && !b.worm.locked && s.clock.Now().Sub(b.worm.created) > day {
		b.worm = nil
	}
	return b.worm
}

// kept says whether an object may neither be changed nor deleted now.
func (s *Server) kept(b *bucket, o *object) bool {
	p := s.policy(b)
	return p != nil && o != nil && s.clock.Now().Before(o.modified.Add(time.Duration(p.days)*day))
}

var (
	errImmutable    = &apiError{Status: 409, Code: "FileImmutable", Message: "The object you specified is immutable."}
	errNoSuchWorm   = &apiError{Status: 404, Code: "NoSuchWORMConfiguration", Message: "The WORM Configuration does not exist."}
	errMalformedXML = &apiError{Status: 400, Code: "MalformedXML",
		Message: "The XML you provided was not well-formed or did not validate against our published schema."}
	errFrozen = &apiError{Status: 403, Code: "InvalidObjectState", Message: "The operation is not valid for the object's state"}
)

// wormDays reads the retention period of a request.
func wormDays(body []byte) (int, *apiError) {
	var c struct{ RetentionPeriodInDays int }
	if err := xml.Unmarshal(body, &c); err != nil || c.RetentionPeriodInDays < 1 || c.RetentionPeriodInDays > maxRetains {
		return 0, errMalformedXML
	}
	return c.RetentionPeriodInDays, nil
}

// initiateWorm is InitiateBucketWorm. A bucket has versions or a retention
// policy, never both; which code says so is not published.
func (s *Server) initiateWorm(w http.ResponseWriter, _ *http.Request, b *bucket, _ place, body []byte) *apiError {
	days, err := wormDays(body)
	if err != nil {
		return err
	}
	if s.policy(b) != nil || b.versioning != "" {
		return &apiError{Status: 409, Code: "WORMConfigurationLocked", Message: "The WORM Configuration is locked."}
	}
	b.worm = &worm{id: requestID(), days: days, created: s.clock.Now()}
	w.Header().Set("x-oss-worm-id", b.worm.id)
	answer(w, http.StatusOK, nil)
	return nil
}

// getWorm is GetBucketWorm.
func (s *Server) getWorm(w http.ResponseWriter, _ *http.Request, b *bucket, _ place, _ []byte) *apiError {
	p := s.policy(b)
	if p == nil {
		return errNoSuchWorm
	}
	state := "InProgress"
	if p.locked {
		state = "Locked"
	}
	return answerXML(w, struct {
		XMLName               xml.Name `xml:"WormConfiguration"`
		WormID                string   `xml:"WormId"`
		State                 string
		RetentionPeriodInDays int
		CreationDate          string
	}{WormID: p.id, State: state, RetentionPeriodInDays: p.days, CreationDate: isoTime(p.created)})
}

// abortWorm is AbortBucketWorm: only a policy that is not locked can be taken
// back.
func (s *Server) abortWorm(w http.ResponseWriter, _ *http.Request, b *bucket, _ place, _ []byte) *apiError {
	p := s.policy(b)
	switch {
	case p == nil:
		return errNoSuchWorm
	case p.locked:
		return &apiError{Status: 409, Code: "WORMConfigurationLocked", Message: "The WORM Configuration is locked."}
	}
	b.worm = nil
	answer(w, http.StatusNoContent, nil)
	return nil
}

// changeWorm is CompleteBucketWorm, which locks the policy, and ExtendBucketWorm.
func (s *Server) changeWorm(w http.ResponseWriter, r *http.Request, b *bucket, _ place, body []byte) *apiError {
	q := r.URL.Query()
	p := s.policy(b)
	if p == nil || p.id != q.Get("wormId") {
		return errNoSuchWorm
	}
	if q.Has("wormExtend") {
		days, err := wormDays(body)
		if err != nil {
			return err
		}
		p.days = max(p.days, days)
	} else {
		p.locked = true
	}
	answer(w, http.StatusOK, nil)
	return nil
}

// archived are the storage classes whose objects are restored before they can be
// read.
var archived = []string{"Archive", "ColdArchive", "DeepColdArchive"}

// A restoring is an archived object on its way to be readable, or readable for
// a while. Source: "RestoreObject".
type restoring struct{ ready, over time.Time }

// Times that a restore takes; the service says "within a minute" and some hours.
const (
	restoreTakes     = time.Minute
	coldRestoreTakes = 5 * time.Hour
)

// frozen says whether an object cannot be read now.
func (s *Server) frozen(o *object) bool {
	now := s.clock.Now()
	return slices.Contains(archived, o.class) && (now.Before(o.restored.ready) || !now.Before(o.restored.over))
}

// restore is RestoreObject.
func (s *Server) restore(w http.ResponseWriter, _ *http.Request, b *bucket, p place, body []byte) *apiError {
	o := b.objects[p.key]
	if o == nil {
		return errNoSuchKey.with("Key", p.key)
	}
	if !slices.Contains(archived, o.class) {
		return &apiError{Status: 400, Code: "OperationNotSupported", Message: "The operation is not supported for this resource"}
	}
	asked := struct{ Days int }{Days: 1}
	if len(strings.TrimSpace(string(body))) > 0 {
		if err := xml.Unmarshal(body, &asked); err != nil || asked.Days < 1 || asked.Days > 365 {
			return errMalformedXML
		}
	}
	now := s.clock.Now()
	lasts := time.Duration(asked.Days) * day
	switch {
	case now.Before(o.restored.ready):
		return &apiError{Status: 409, Code: "RestoreAlreadyInProgress", EC: "0026-00000011", Message: "The restore operation is in progress."}
	case now.Before(o.restored.over):
		o.restored.over = now.Add(lasts)
		answer(w, http.StatusOK, nil)
		return nil
	}
	takes := coldRestoreTakes
	if o.class == "Archive" {
		takes = restoreTakes
	}
	o.restored = restoring{ready: now.Add(takes), over: now.Add(takes + lasts)}
	answer(w, http.StatusAccepted, nil)
	return nil
}

// cleanRestored is CleanRestoredObject.
func (s *Server) cleanRestored(w http.ResponseWriter, _ *http.Request, b *bucket, p place, _ []byte) *apiError {
	o := b.objects[p.key]
	if o == nil {
		return errNoSuchKey.with("Key", p.key)
	}
	switch now := s.clock.Now(); {
	case now.Before(o.restored.ready):
		return &apiError{Status: 409, Code: "ArchiveRestoreNotFinished", EC: "0016-00000719", Message: "The archive file's restore is not finished."}
	case !now.Before(o.restored.over):
		return &apiError{Status: 409, Code: "ArchiveRestoreFileStale", Message: "The archive file or restore info stale"}
	}
	o.restored = restoring{}
	answer(w, http.StatusNoContent, nil)
	return nil
}

// seal is SealAppendObject, which OSS grants on application only.
func (s *Server) seal(http.ResponseWriter, *http.Request, *bucket, place, []byte) *apiError {
	return &apiError{Status: 400, Code: "OperationNotSupported", EC: "0016-00000513", Message: "SealAppendable is not supported."}
}
