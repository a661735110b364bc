package oss

import (
	"cmp"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// account owns all buckets.
const account = "1234567890123456"

type ownerXML struct {
	ID          string `xml:"ID"`
	DisplayName string `xml:"DisplayName"`
}

type bucketXML struct {
	Name         string
	Location     string
	CreationDate string
	StorageClass string
	// The endpoints are the live service's; nobody can reach this server there.
	ExtranetEndpoint string
	IntranetEndpoint string
	Owner            *ownerXML `xml:",omitempty"`
}

func (s *Server) bucketXML(name string) bucketXML {
	return bucketXML{
		Name: name, Location: "oss-" + s.region, CreationDate: isoTime(s.buckets[name].created), StorageClass: s.buckets[name].class,
		ExtranetEndpoint: "oss-" + s.region + ".aliyuncs.com", IntranetEndpoint: "oss-" + s.region + "-internal.aliyuncs.com",
	}
}

// listBuckets is ListBuckets, always in one page.
func (s *Server) listBuckets(w http.ResponseWriter, r *http.Request) *apiError {
	var list struct {
		XMLName xml.Name    `xml:"ListAllMyBucketsResult"`
		Owner   ownerXML    `xml:"Owner"`
		Buckets []bucketXML `xml:"Buckets>Bucket"`
	}
	list.Owner = ownerXML{account, account}
	for name := range s.buckets {
		if strings.HasPrefix(name, r.URL.Query().Get("prefix")) {
			list.Buckets = append(list.Buckets, s.bucketXML(name))
		}
	}
	slices.SortFunc(list.Buckets, func(a, b bucketXML) int { return strings.Compare(a.Name, b.Name) })
	return answerXML(w, list)
}

var bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)

// putBucket is PutBucket. Making one's own bucket again changes nothing.
func (s *Server) putBucket(w http.ResponseWriter, p place, body []byte) *apiError {
	if !bucketName.MatchString(p.bucket) {
		return (&apiError{Status: 400, Code: "InvalidBucketName", Message: "The specified bucket is not valid."}).with("BucketName", p.bucket)
	}
	var c struct{ StorageClass string }
	if len(body) > 0 && xml.Unmarshal(body, &c) != nil {
		return errMalformedXML
	}
	if s.buckets[p.bucket] == nil {
		s.buckets[p.bucket] = s.newBucket()
		if c.StorageClass != "" {
			s.buckets[p.bucket].class = c.StorageClass
		}
	}
	w.Header().Set("Location", "/"+p.bucket)
	answer(w, http.StatusOK, nil)
	return nil
}

// deleteBucket is DeleteBucket, which takes an empty bucket only.
func (s *Server) deleteBucket(w http.ResponseWriter, _ *http.Request, b *bucket, p place, _ []byte) *apiError {
	if !b.empty() {
		return (&apiError{Status: 409, Code: "BucketNotEmpty", EC: "0015-00000301",
			Message: "The bucket you tried to delete is not empty."}).with("BucketName", p.bucket)
	}
	delete(s.buckets, p.bucket)
	answer(w, http.StatusNoContent, nil)
	return nil
}

// bucketStat is GetBucketStat, which the service brings up to date hourly and
// this server at once.
func (s *Server) bucketStat(w http.ResponseWriter, _ *http.Request, b *bucket, _ place, _ []byte) *apiError {
	var stat struct {
		XMLName              xml.Name `xml:"BucketStat"`
		Storage              int
		ObjectCount          int
		MultipartUploadCount int
		LiveChannelCount     int
		LastModifiedTime     int64
		StandardStorage      int
		StandardObjectCount  int
		DeleteMarkerCount    int
	}
	stat.LastModifiedTime = s.clock.Now().Unix()
	for _, key := range b.keys() {
		o := b.objects[key]
		stat.Storage += len(o.data)
		stat.ObjectCount++
		if o.class == standard {
			stat.StandardStorage += len(o.data)
			stat.StandardObjectCount++
		}
	}
	return answerXML(w, stat)
}

// private is a bucket's ACL.
type private struct {
	Grant string
}

func (b *bucket) acl() string { return cmp.Or(b.settings.ACL, "private") }

// bucketACL is GetBucketAcl.
func (s *Server) bucketACL(w http.ResponseWriter, _ *http.Request, b *bucket, _ place, _ []byte) *apiError {
	return answerXML(w, struct {
		XMLName           xml.Name `xml:"AccessControlPolicy"`
		Owner             ownerXML
		AccessControlList private
	}{Owner: ownerXML{account, account}, AccessControlList: private{b.acl()}})
}

// bucketInfo is GetBucketInfo.
func (s *Server) bucketInfo(w http.ResponseWriter, _ *http.Request, b *bucket, p place, _ []byte) *apiError {
	type rule struct{ SSEAlgorithm string }
	var info struct {
		XMLName xml.Name `xml:"BucketInfo"`
		Bucket  struct {
			bucketXML
			AccessMonitor            string
			AccessControlList        private
			BlockPublicAccess        bool
			BucketPolicy             struct{ LogBucket, LogPrefix string }
			CrossRegionReplication   string
			DataRedundancyType       string
			ResourceGroupID          string `xml:"ResourceGroupId"`
			ServerSideEncryptionRule rule
			TransferAcceleration     string
			Versioning               string `xml:",omitempty"`
		}
	}
	bk := &info.Bucket
	bk.bucketXML = s.bucketXML(p.bucket)
	bk.Owner = &ownerXML{account, account}
	bk.AccessMonitor, bk.CrossRegionReplication, bk.TransferAcceleration = "Disabled", "Disabled", "Disabled"
	bk.AccessControlList, bk.BlockPublicAccess = private{b.acl()}, !b.settings.Public
	bk.DataRedundancyType, bk.ResourceGroupID = "LRS", "rg-acfmx000000001"
	bk.ServerSideEncryptionRule, bk.Versioning = rule{"None"}, b.versioning
	return answerXML(w, info)
}

// bucketLocation is GetBucketLocation.
func (s *Server) bucketLocation(w http.ResponseWriter, _ *http.Request, _ *bucket, _ place, _ []byte) *apiError {
	return answerXML(w, struct {
		XMLName xml.Name `xml:"LocationConstraint"`
		Region  string   `xml:",chardata"`
	}{Region: "oss-" + s.region})
}

type contentXML struct {
	Key          string
	LastModified string
	ETag         string
	Type         string
	Size         int
	StorageClass string
	Owner        *ownerXML `xml:",omitempty"`
}

type prefixXML struct{ Prefix string }

// listXML is the answer of both versions; what belongs to the other is empty.
type listXML struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name                  string
	Prefix                string
	StartAfter            string `xml:",omitempty"`
	ContinuationToken     string `xml:",omitempty"`
	Marker                *string
	MaxKeys               int
	Delimiter             string
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	NextMarker            string       `xml:",omitempty"`
	NextContinuationToken string       `xml:",omitempty"`
	Contents              []contentXML `xml:",omitempty"`
	CommonPrefixes        []prefixXML  `xml:",omitempty"`
	KeyCount              *int
}

// listObjects is ListObjects and ListObjectsV2, which differ in how a page
// names the next and in the owner, which only the first always tells.
func (s *Server) listObjects(w http.ResponseWriter, r *http.Request, b *bucket, p place, _ []byte) *apiError {
	q := r.URL.Query()
	second := q.Get("list-type") == "2"
	size, err := pageSize(q.Get("max-keys"))
	if err != nil {
		return err
	}
	list := listXML{Name: p.bucket, Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"), EncodingType: q.Get("encoding-type"), MaxKeys: size}
	after, err := list.start(q, second)
	if err != nil {
		return err
	}
	owner := &ownerXML{account, account}
	if second && q.Get("fetch-owner") != "true" {
		owner = nil
	}
	last := list.fill(b, after, owner)
	if list.IsTruncated && second {
		list.NextContinuationToken = base64Of([]byte(last))
	} else if list.IsTruncated {
		list.NextMarker = last
	}
	if second {
		n := len(list.Contents) + len(list.CommonPrefixes)
		list.KeyCount = &n
	}
	list.encode()
	return answerXML(w, list)
}

// start returns the name after which the page begins.
func (l *listXML) start(q url.Values, second bool) (string, *apiError) {
	if !second {
		marker := q.Get("marker")
		l.Marker = &marker
		return marker, nil
	}
	l.StartAfter, l.ContinuationToken = q.Get("start-after"), q.Get("continuation-token")
	if l.ContinuationToken == "" {
		return l.StartAfter, nil
	}
	raw, err := base64.StdEncoding.DecodeString(l.ContinuationToken)
	if err != nil {
		return "", invalidArgument("continuation-token", l.ContinuationToken, "", "The continuation token provided is incorrect.")
	}
	return string(raw), nil
}

// fill takes one page of names after another name and returns the last.
func (l *listXML) fill(b *bucket, after string, owner *ownerXML) (last string) {
	for _, key := range b.keys() {
		rest, ok := strings.CutPrefix(key, l.Prefix)
		if !ok || key <= after {
			continue
		}
		name, folder := key, false
		if l.Delimiter != "" {
			if head, _, found := strings.Cut(rest, l.Delimiter); found {
				name, folder = l.Prefix+head+l.Delimiter, true
			}
		}
		if folder && (name == last || name <= after) {
			continue // the folder is listed already
		}
		if len(l.Contents)+len(l.CommonPrefixes) == l.MaxKeys {
			l.IsTruncated = true
			return last
		}
		last = name
		if folder {
			l.CommonPrefixes = append(l.CommonPrefixes, prefixXML{name})
			continue
		}
		o := b.objects[key]
		l.Contents = append(l.Contents, contentXML{
			Key: key, LastModified: isoTime(o.modified), ETag: o.etag(), Type: o.kind(), Size: len(o.data), StorageClass: o.class, Owner: owner,
		})
	}
	return last
}

// encode escapes names when the caller asked for it, since XML cannot hold all
// of them.
func (l *listXML) encode() {
	if l.EncodingType != "url" {
		return
	}
	names := []*string{&l.Prefix, &l.StartAfter, &l.Delimiter, &l.NextMarker}
	if l.Marker != nil {
		names = append(names, l.Marker)
	}
	for i := range l.Contents {
		names = append(names, &l.Contents[i].Key)
	}
	for i := range l.CommonPrefixes {
		names = append(names, &l.CommonPrefixes[i].Prefix)
	}
	encode(names)
}

// encode escapes names as encoding-type=url asks for.
func encode(names []*string) {
	for _, name := range names {
		*name = escape(*name, false)
	}
}

func base64Of(b []byte) string { return base64.StdEncoding.EncodeToString(b) }
