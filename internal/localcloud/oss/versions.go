package oss

import (
	"encoding/xml"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// What a bucket's versioning may be; "" is one that never had any.
const (
	versioned = "Enabled"
	suspended = "Suspended"
)

// nullVersion is the id of what was written without versioning.
const nullVersion = "null"

// put makes o the current version of a key, or with o.marker the fact that
// there is none. What was there before is kept if the bucket has versions.
func (b *bucket) put(key string, o *object) {
	switch b.versioning {
	case versioned:
		o.version = requestID() + requestID()
	case suspended:
		o.version = nullVersion
		b.drop(key, nullVersion)
	default:
		if o.marker {
			delete(b.objects, key)
			return
		}
		b.objects[key] = o
		return
	}
	if old := b.objects[key]; old != nil {
		b.past[key] = slices.Insert(b.past[key], 0, old)
		delete(b.objects, key)
	}
	if o.marker {
		b.past[key] = slices.Insert(b.past[key], 0, o)
		return
	}
	b.objects[key] = o
}

// all returns every version of a key, the latest first.
func (b *bucket) all(key string) []*object {
	if o := b.objects[key]; o != nil {
		return append([]*object{o}, b.past[key]...)
	}
	return b.past[key]
}

// find returns one version of a key, which may be a delete marker; "" is the
// current one, nil none.
func (b *bucket) find(key, version string) *object {
	if version == "" {
		return b.objects[key]
	}
	for _, o := range b.all(key) {
		if o.id() == version {
			return o
		}
	}
	return nil
}

// drop removes one version of a key, and returns it. What comes next is then
// the current one, unless it is a delete marker.
func (b *bucket) drop(key, version string) *object {
	gone := b.find(key, version)
	rest := slices.DeleteFunc(slices.Clone(b.all(key)), func(o *object) bool { return o == gone })
	delete(b.objects, key)
	delete(b.past, key)
	if len(rest) > 0 && !rest[0].marker {
		b.objects[key], rest = rest[0], rest[1:]
	}
	if len(rest) > 0 {
		b.past[key] = rest
	}
	return gone
}

// empty says whether a bucket holds nothing at all, past versions included.
func (b *bucket) empty() bool { return len(b.objects) == 0 && len(b.past) == 0 }

func (o *object) id() string {
	if o.version == "" {
		return nullVersion
	}
	return o.version
}

type versioningXML struct {
	XMLName xml.Name `xml:"VersioningConfiguration"`
	Status  string   `xml:",omitempty"`
}

// putVersioning is PutBucketVersioning. A bucket that has had versions never
// loses them again.
func (s *Server) putVersioning(w http.ResponseWriter, _ *http.Request, b *bucket, _ place, body []byte) *apiError {
	var c versioningXML
	if err := xml.Unmarshal(body, &c); err != nil || c.Status != versioned && c.Status != suspended {
		return errMalformedXML
	}
	b.versioning = c.Status
	answer(w, http.StatusOK, nil)
	return nil
}

// getVersioning is GetBucketVersioning.
func (s *Server) getVersioning(w http.ResponseWriter, _ *http.Request, b *bucket, _ place, _ []byte) *apiError {
	return answerXML(w, versioningXML{Status: b.versioning})
}

type versionXML struct {
	XMLName      xml.Name
	Key          string
	VersionID    string `xml:"VersionId"`
	IsLatest     bool
	LastModified string
	ETag         string    `xml:",omitempty"`
	Type         string    `xml:",omitempty"`
	Size         *int      `xml:",omitempty"`
	StorageClass string    `xml:",omitempty"`
	Owner        *ownerXML `xml:",omitempty"`
}

// listVersions is ListObjectVersions (GetBucketVersions): all versions of all
// keys, each key's latest first.
func (s *Server) listVersions(w http.ResponseWriter, r *http.Request, b *bucket, p place, _ []byte) *apiError {
	q := r.URL.Query()
	size, err := pageSize(q.Get("max-keys"))
	if err != nil {
		return err
	}
	list := struct {
		XMLName             xml.Name `xml:"ListVersionsResult"`
		Name                string
		Prefix              string
		KeyMarker           string
		VersionIDMarker     string `xml:"VersionIdMarker"`
		MaxKeys             int
		EncodingType        string `xml:",omitempty"`
		IsTruncated         bool
		NextKeyMarker       string `xml:",omitempty"`
		NextVersionIDMarker string `xml:"NextVersionIdMarker,omitempty"`
		Versions            []versionXML
	}{Name: p.bucket, Prefix: q.Get("prefix"), KeyMarker: q.Get("key-marker"), VersionIDMarker: q.Get("version-id-marker"), MaxKeys: size,
		EncodingType: q.Get("encoding-type")}
	all := b.versions(list.Prefix, list.KeyMarker, list.VersionIDMarker)
	if len(all) > size {
		all = all[:size]
		list.IsTruncated = true
		list.NextKeyMarker, list.NextVersionIDMarker = all[size-1].Key, all[size-1].VersionID
	}
	list.Versions = all
	if list.EncodingType == "url" {
		names := []*string{&list.Prefix, &list.KeyMarker, &list.NextKeyMarker}
		for i := range all {
			names = append(names, &all[i].Key)
		}
		encode(names)
	}
	return answerXML(w, list)
}

// versions returns what comes behind a version of a key; without a version,
// behind all versions of the key.
func (b *bucket) versions(prefix, afterKey, afterVersion string) []versionXML {
	keys := b.keys()
	for key := range b.past {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	var all []versionXML
	for _, key := range slices.Compact(keys) {
		if !strings.HasPrefix(key, prefix) || key < afterKey || key == afterKey && afterVersion == "" && afterKey != "" {
			continue
		}
		skip := key == afterKey && afterVersion != ""
		for n, o := range b.all(key) {
			if skip {
				skip = o.id() != afterVersion
				continue
			}
			all = append(all, o.versionXML(key, n == 0))
		}
	}
	return all
}

func (o *object) versionXML(key string, latest bool) versionXML {
	v := versionXML{
		XMLName: xml.Name{Local: "Version"}, Key: key, VersionID: o.id(), IsLatest: latest,
		LastModified: isoTime(o.modified), Owner: &ownerXML{account, account},
	}
	if o.marker {
		v.XMLName.Local = "DeleteMarker"
		return v
	}
	size := len(o.data)
	v.ETag, v.Type, v.Size, v.StorageClass = o.etag(), o.kind(), &size, o.class
	return v
}

// deleteObjects is DeleteMultipleObjects, which must come with its digest.
func (s *Server) deleteObjects(w http.ResponseWriter, r *http.Request, b *bucket, _ place, body []byte) *apiError {
	var asked struct {
		Quiet  bool
		Object []struct {
			Key       string
			VersionID string `xml:"VersionId"`
		}
	}
	if r.Header.Get("Content-MD5") == "" {
		return &apiError{Status: 400, Code: "MissingArgument", Message: "Missing Some Required Arguments."}
	}
	encoded := r.URL.Query().Get("encoding-type")
	if err := xml.Unmarshal(admitControls(body), &asked); err != nil || len(asked.Object) == 0 || len(asked.Object) > maxDelete {
		return errMalformedXML
	}
	type deletedXML struct {
		Key                   string
		VersionID             string `xml:"VersionId,omitempty"`
		DeleteMarker          bool   `xml:",omitempty"`
		DeleteMarkerVersionID string `xml:"DeleteMarkerVersionId,omitempty"`
	}
	var result struct {
		XMLName      xml.Name     `xml:"DeleteResult"`
		EncodingType string       `xml:",omitempty"`
		Deleted      []deletedXML `xml:",omitempty"`
	}
	result.EncodingType = encoded
	for _, o := range asked.Object {
		o.Key = restoreControls(o.Key)
		gone, err := s.remove(b, o.Key, o.VersionID)
		if err != nil {
			return err
		}
		d := deletedXML{Key: o.Key, VersionID: o.VersionID}
		if gone.marker {
			d.DeleteMarker, d.DeleteMarkerVersionID = true, gone.version
		}
		if encoded == "url" {
			encode([]*string{&d.Key})
		}
		result.Deleted = append(result.Deleted, d)
	}
	if asked.Quiet {
		result.Deleted = nil
	}
	return answerXML(w, result)
}

// A key may have control characters, which the service takes as references
// though XML forbids them. On their way through the parser they are characters
// of Unicode's private use.
const stowed = 0xE000

var controlReference = regexp.MustCompile(`&#(x[0-9A-Fa-f]{1,2}|[0-9]{1,2});`)

func admitControls(body []byte) []byte {
	return controlReference.ReplaceAllFunc(body, func(ref []byte) []byte {
		digits, base := string(ref[2:len(ref)-1]), 10
		if hex, ok := strings.CutPrefix(digits, "x"); ok {
			digits, base = hex, 16
		}
		n, err := strconv.ParseUint(digits, base, 8)
		if err != nil || n >= ' ' || strings.ContainsRune("\t\n\r", rune(n)) {
			return ref
		}
		return []byte(string(rune(stowed + n)))
	})
}

func restoreControls(key string) string {
	return strings.Map(func(r rune) rune {
		if r >= stowed && r < stowed+' ' {
			return r - stowed
		}
		return r
	}, key)
}

// maxDelete is how many keys one DeleteMultipleObjects takes.
const maxDelete = 1000

// deleteObject is DeleteObject, which succeeds whether or not there was one.
func (s *Server) deleteObject(w http.ResponseWriter, r *http.Request, b *bucket, p place, _ []byte) *apiError {
	gone, err := s.remove(b, p.key, r.URL.Query().Get("versionId"))
	if err != nil {
		return err
	}
	if gone.marker {
		w.Header().Set("x-oss-delete-marker", "true")
	}
	if gone.version != "" && b.versioning != "" {
		w.Header().Set("x-oss-version-id", gone.version)
	}
	answer(w, http.StatusNoContent, nil)
	return nil
}

// remove deletes a version, or without one the current object, and returns what
// is gone or the delete marker that has come.
func (s *Server) remove(b *bucket, key, version string) (object, *apiError) {
	if s.kept(b, b.find(key, version)) {
		return object{}, errImmutable
	}
	if version != "" {
		if gone := b.drop(key, version); gone != nil {
			return object{version: gone.id(), marker: gone.marker}, nil
		}
		return object{}, nil
	}
	if b.versioning == "" {
		delete(b.objects, key)
		return object{}, nil
	}
	marker := &object{marker: true, modified: s.clock.Now()}
	b.put(key, marker)
	return *marker, nil
}

// listUploads is ListMultipartUploads of a bucket, of which none has any.
func (s *Server) listUploads(w http.ResponseWriter, r *http.Request, _ *bucket, p place, _ []byte) *apiError {
	q := r.URL.Query()
	return answerXML(w, struct {
		XMLName        xml.Name `xml:"ListMultipartUploadsResult"`
		Bucket         string
		EncodingType   string `xml:",omitempty"`
		KeyMarker      string
		UploadIDMarker string `xml:"UploadIdMarker"`
		MaxUploads     int
		IsTruncated    bool
	}{Bucket: p.bucket, EncodingType: q.Get("encoding-type"), KeyMarker: q.Get("key-marker"), UploadIDMarker: q.Get("upload-id-marker"), MaxUploads: 1000})
}

// pageSize reads how many entries a page may have.
func pageSize(raw string) (int, *apiError) {
	if raw == "" {
		return 100, nil
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 1 || n > 1000 {
		return 0, invalidArgument("max-keys", raw, "", "Argument maxKeys must be an integer between 1 and 1000.")
	}
	return n, nil
}
