package oss

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"hash/crc64"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

var ecma = crc64.MakeTable(crc64.ECMA)

func (o *object) crc() string { return strconv.FormatUint(crc64.Checksum(o.data, ecma), 10) }

// etag is the MD5 of an object that was put, and something else for one that
// was appended to.
func (o *object) etag() string {
	if o.appendable {
		return fmt.Sprintf("\"%016X%016X\"", crc64.Checksum(o.data, ecma), len(o.data))
	}
	sum := md5.Sum(o.data)
	return `"` + strings.ToUpper(hex.EncodeToString(sum[:])) + `"`
}

func (o *object) kind() string {
	if o.appendable {
		return "Appendable"
	}
	return "Normal"
}

// appendObject is AppendObject.
func (s *Server) appendObject(w http.ResponseWriter, r *http.Request, b *bucket, p place, body []byte) *apiError {
	position, fault := positionOf(r)
	if fault != nil {
		return fault
	}
	o, length := b.objects[p.key], 0
	if o != nil {
		if !o.appendable {
			return &apiError{Status: 409, Code: "ObjectNotAppendable", EC: "0026-00000017", Message: "The object is not appendable."}
		}
		length = len(o.data)
	}
	if o != nil && b.settings.AnyPosition && position < uint64(length) {
		o.data = o.data[:position:position]
		length = int(position)
	}
	if position != uint64(length) {
		return &apiError{
			Status: 409, Code: "PositionNotEqualToLength", EC: "0026-00000016",
			Message: "Position is not equal to file length.",
			Header:  map[string]string{"x-oss-next-append-position": strconv.Itoa(length)},
		}
	}
	if length+len(body) > maxObject {
		return errTooLarge
	}
	if s.kept(b, o) {
		return errImmutable
	}
	if o == nil {
		if o, fault = newAppendable(r, b); fault != nil {
			return fault
		}
		b.put(p.key, o)
		o.modified = s.clock.Now()
	}
	o.data = append(o.data, body...)
	// With versions the time stays that of the first append. Source: "Convert
	// appendable objects to the Cold Archive storage class".
	if b.versioning == "" {
		o.modified = s.clock.Now()
	}
	o.describeWrite(w.Header())
	w.Header().Set("ETag", o.etag())
	w.Header().Set("x-oss-next-append-position", strconv.Itoa(len(o.data)))
	w.Header().Set("x-oss-hash-crc64ecma", o.crc())
	answer(w, http.StatusOK, nil)
	return nil
}

// positionOf returns the position at which a request is to append.
func positionOf(r *http.Request) (uint64, *apiError) {
	raw := r.URL.Query().Get("position")
	if raw == "" {
		return 0, invalidArgument("position", raw, "0016-00000501", "Missing parameter position.")
	}
	position, err := strconv.ParseUint(raw, 10, 63)
	if err != nil {
		return 0, invalidArgument("position", raw, "0016-00000502", "Invalid position.")
	}
	return position, nil
}

// newAppendable makes an object that can be appended to.
func newAppendable(r *http.Request, b *bucket) (*object, *apiError) {
	o := newObject(r, b)
	if o.class == "ColdArchive" || o.class == "DeepColdArchive" {
		// The page on this number gives no code; that of its neighbour is taken.
		return nil, &apiError{Status: 400, Code: "OperationNotSupported", EC: "0016-00000503",
			Message: "AppendObject does not support the storage class " + o.class + "."}
	}
	o.appendable = true
	return o, nil
}

// newObject takes what an object keeps of the request that made it.
func newObject(r *http.Request, b *bucket) *object {
	o := &object{contentType: r.Header.Get("Content-Type"), kept: http.Header{}, class: r.Header.Get("x-oss-storage-class")}
	if o.contentType == "" {
		o.contentType = "application/octet-stream"
	}
	if o.class == "" {
		o.class = b.class
	}
	for name, values := range r.Header {
		lower := strings.ToLower(name)
		if strings.HasPrefix(lower, "x-oss-meta-") || slices.Contains(toldAgain, lower) || slices.Contains(encryption, lower) {
			o.kept[name] = values
		}
	}
	if o.kept.Get(encryption[0]) == "KMS" && o.kept.Get(encryption[2]) == "" {
		o.kept.Set(encryption[2], "9468da86-3509-4f8d-a61e-6eab1eac0000") // the service's own key
	}
	if tags := r.Header.Get("x-oss-tagging"); tags != "" {
		o.kept.Set("x-oss-tagging-count", strconv.Itoa(strings.Count(tags, "&")+1))
	}
	return o
}

// toldAgain are headers of a write that a read gives back.
var toldAgain = []string{"cache-control", "content-disposition", "content-encoding", "expires"}

// encryption are headers that the answer to a write gives back, too. Nothing is
// encrypted here.
var encryption = []string{"x-oss-server-side-encryption", "x-oss-server-side-data-encryption", "x-oss-server-side-encryption-key-id"}

// describeWrite writes the headers that tell of an object that was written.
func (o *object) describeWrite(h http.Header) {
	for _, name := range encryption {
		if v := o.kept.Get(name); v != "" {
			h.Set(name, v)
		}
	}
	if o.version != "" {
		h.Set("x-oss-version-id", o.version)
	}
}

// putObject is PutObject. It replaces an appendable object with one that is not.
func (s *Server) putObject(w http.ResponseWriter, r *http.Request, b *bucket, p place, body []byte) *apiError {
	if b.objects[p.key] != nil && r.Header.Get("x-oss-forbid-overwrite") == "true" {
		return &apiError{Status: 409, Code: "FileAlreadyExists", EC: "0026-00000013", Message: "The object you specified already exists and can not be overwritten."}
	}
	if s.kept(b, b.objects[p.key]) {
		return errImmutable
	}
	o := newObject(r, b)
	o.data, o.modified = body, s.clock.Now()
	b.put(p.key, o)
	o.describeWrite(w.Header())
	w.Header().Set("ETag", o.etag())
	w.Header().Set("Content-MD5", o.contentMD5())
	w.Header().Set("x-oss-hash-crc64ecma", o.crc())
	answer(w, http.StatusOK, nil)
	return nil
}

// contentMD5 is the digest of an object that was put; one that was appended to
// has none.
func (o *object) contentMD5() string {
	sum := md5.Sum(o.data)
	return base64Of(sum[:])
}

// wanted returns the version that is asked for. It writes what a delete marker
// tells.
func (b *bucket) wanted(w http.ResponseWriter, r *http.Request, key string) (*object, *apiError) {
	version := r.URL.Query().Get("versionId")
	o := b.find(key, version)
	switch {
	case o == nil && version != "":
		return nil, (&apiError{Status: 404, Code: "NoSuchVersion", Message: "The specified version does not exist."}).with("Key", key).with("VersionId", version)
	case o == nil && b.settings.Mirror != "":
		o = newObject(r, b)
		o.data = []byte(b.settings.Mirror)
	case o == nil:
		if all := b.all(key); len(all) > 0 { // the latest is a marker
			w.Header().Set("x-oss-delete-marker", "true")
			w.Header().Set("x-oss-version-id", all[0].id())
		}
		return nil, errNoSuchKey.with("Key", key)
	case o.marker:
		w.Header().Set("x-oss-delete-marker", "true")
		return nil, &apiError{Status: 405, Code: "MethodNotAllowed", Message: "The specified method is not allowed against this resource."}
	}
	return o, nil
}

// headObject is HeadObject and GetObjectMeta.
func (s *Server) headObject(w http.ResponseWriter, r *http.Request, b *bucket, p place, _ []byte) *apiError {
	o, err := b.wanted(w, r, p.key)
	if err != nil {
		return err
	}
	describe(w, o)
	w.Header().Set("Content-Length", strconv.Itoa(len(o.data)))
	answer(w, http.StatusOK, nil)
	return nil
}

// getObject is GetObject.
func (s *Server) getObject(w http.ResponseWriter, r *http.Request, b *bucket, p place, _ []byte) *apiError {
	o, missing := b.wanted(w, r, p.key)
	switch {
	case missing != nil:
		return missing
	case s.frozen(o):
		return errFrozen
	}
	size := len(o.data)
	asked := r.Header.Get("Range")
	standard := r.Header.Get("x-oss-range-behavior") == "standard"
	start, end, fits := parseRange(asked, size, standard)
	if asked != "" && !fits && standard {
		return (&apiError{
			Status: 416, Code: "InvalidRange", EC: "0017-00000902", Message: "The requested range cannot be satisfied.",
		}).with("ActualObjectSize", strconv.Itoa(size)).with("RangeRequested", asked)
	}
	describe(w, o)
	if asked == "" || !fits {
		// The default behaviour: a range that does not fit is as if not asked for.
		answer(w, http.StatusOK, o.data)
		return nil
	}
	w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, end-1, size))
	answer(w, http.StatusPartialContent, o.data[start:end])
	return nil
}

// parseRange reads bytes=a-b, bytes=a- or bytes=-n into a half-open range, and
// says whether it fits an object. In the standard behaviour an end beyond the
// object is cut; otherwise it does not fit. Source: "GetObject", Range.
func parseRange(header string, size int, standard bool) (start, end int, fits bool) {
	spec, ok := strings.CutPrefix(header, "bytes=")
	if !ok {
		return 0, 0, false
	}
	first, last, ok := strings.Cut(spec, "-")
	if !ok {
		return 0, 0, false
	}
	a, errA := strconv.ParseUint(first, 10, 31)
	z, errZ := strconv.ParseUint(last, 10, 31)
	switch {
	case first == "" && errZ == nil && z > 0 && size > 0:
		return size - min(int(z), size), size, true
	case errA != nil, int(a) >= size:
		return 0, 0, false
	case last == "":
		return int(a), size, true
	case errZ != nil, z < a:
		return 0, 0, false
	case int(z) >= size:
		return int(a), size, standard
	}
	return int(a), int(z) + 1, true
}

// describe writes the headers that tell of an object.
func describe(w http.ResponseWriter, o *object) {
	h := w.Header()
	for name, values := range o.kept {
		h[name] = values
	}
	if o.version != "" {
		h.Set("x-oss-version-id", o.version)
	}
	h.Set("Content-Type", o.contentType)
	h.Set("Accept-Ranges", "bytes")
	h.Set("ETag", o.etag())
	h.Set("Last-Modified", o.modified.UTC().Format(http.TimeFormat))
	h.Set("x-oss-object-type", o.kind())
	h.Set("x-oss-storage-class", o.class)
	h.Set("x-oss-hash-crc64ecma", o.crc())
	if o.appendable {
		h.Set("x-oss-next-append-position", strconv.Itoa(len(o.data)))
	} else {
		h.Set("Content-MD5", o.contentMD5())
	}
}
