package oss

import (
	"encoding/xml"
	"net/http"
)

// A LifecycleRule deletes objects by age. It is shown, not obeyed: nothing
// expires here.
type LifecycleRule struct {
	ID, Prefix, Status string // Status is Enabled or Disabled
	Days               int
}

// Bucket returns how a bucket is set up, and whether there is one.
func (s *Server) Bucket(name string) (BucketSettings, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return BucketSettings{}, false
	}
	o := b.settings
	o.StorageClass, o.Versioning, o.RetentionDays = b.class, b.versioning, 0
	if p := s.policy(b); p != nil {
		o.RetentionDays = p.days
	}
	return o, true
}

// RemoveBucket deletes a bucket, with what is in it.
func (s *Server) RemoveBucket(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.buckets, name)
}

type expirationXML struct{ Days int }

type ruleXML struct {
	ID, Prefix, Status string
	Expiration         expirationXML
}

// bucketLifecycle is GetBucketLifecycle.
func (s *Server) bucketLifecycle(w http.ResponseWriter, _ *http.Request, b *bucket, p place, _ []byte) *apiError {
	if len(b.settings.Lifecycle) == 0 {
		return (&apiError{Status: 404, Code: "NoSuchLifecycle", Message: "No Row found in Lifecycle Table."}).with("BucketName", p.bucket)
	}
	var out struct {
		XMLName xml.Name  `xml:"LifecycleConfiguration"`
		Rule    []ruleXML `xml:"Rule"`
	}
	for _, r := range b.settings.Lifecycle {
		out.Rule = append(out.Rule, ruleXML{r.ID, r.Prefix, r.Status, expirationXML{r.Days}})
	}
	return answerXML(w, out)
}
