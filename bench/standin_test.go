package bench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/crc64"
	"io"
	"maps"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// standInEnv makes this test binary the stand-in, in a process of its own.
const standInEnv = "REGILD_BENCH_STANDIN"

func TestMain(m *testing.M) {
	if os.Getenv(standInEnv) != "" {
		if err := serveStandIn(); err != nil {
			fmt.Fprintln(os.Stderr, "stand-in:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// What the stand-in knows. Every desktop there can be is Running on oldImage,
// which is older than newImage.
const (
	region   = "cn-hangzhou"
	oldImage = "m-84mztzatmlnys0001"
	newImage = "m-84mztzatmlnys0002"
	bucket   = "bench-journal"
	topic    = "bench-outcomes"
	queue    = "bench-requests"
)

// Delays are how long the stand-in takes for a call. What is not named here it
// answers at once.
type Delays struct{ Rebuild, Publish, Append time.Duration }

// Counts are what the stand-in saw since it was told to forget.
type Counts struct {
	Calls        map[string]int // by API
	AtOnce       int            // RebuildDesktops calls that were under way at once, at most
	Wiped        int            // desktops that were asked to be rebuilt, each time counted
	Twice        int            // of them, those that had been before
	Tags         map[string]int // outcomes by status
	JournalBytes int64          // appended
	First        time.Time      // when the first message to the topic had arrived
}

// A Message is one that was sent to the queue.
type Message struct {
	Body string
	Due  time.Time
}

// standIn is ECD, MNS and OSS in one server, as lean as can be: it verifies no
// signature and knows nothing that the function need not be told.
type standIn struct {
	mu      sync.Mutex
	delays  Delays
	counts  Counts
	now     int // RebuildDesktops calls under way
	wiped   map[string]bool
	objects map[string]*object
	queue   []Message
}

type object struct {
	data []byte
	sum  uint64
}

// serveStandIn prints its address and serves until its standard input ends, that
// is as long as the program that started it lives.
func serveStandIn() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	s := &standIn{objects: map[string]*object{}}
	s.forget()
	server := &fasthttp.Server{Handler: s.serve, ReadBufferSize: 64 << 10, MaxRequestBodySize: 64 << 20, NoDefaultServerHeader: true}
	go func() { _ = server.Serve(listener) }() // ends with the process
	fmt.Println("http://" + listener.Addr().String())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func (s *standIn) forget() {
	s.counts = Counts{Calls: map[string]int{}, Tags: map[string]int{}}
	s.wiped = map[string]bool{}
}

func (s *standIn) count(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Calls[name]++
}

func (s *standIn) serve(c *fasthttp.RequestCtx) {
	path := string(c.Path())
	switch {
	case path == "/":
		s.ecd(c)
	case path == "/topics/"+topic+"/messages":
		s.publish(c)
	case path == "/queues/"+queue+"/messages":
		s.send(c)
	case len(path) > len(bucket)+2 && path[1:len(bucket)+2] == bucket+"/":
		s.oss(c, path)
	case path == "/control/set":
		s.control(c, func() any { return json.Unmarshal(c.PostBody(), &s.delays) == nil })
	case path == "/control/forget":
		s.control(c, func() any { s.forget(); return true })
	case path == "/control/counts":
		s.control(c, func() any { n := s.counts; n.Calls, n.Tags = maps.Clone(n.Calls), maps.Clone(n.Tags); return n })
	case path == "/control/take":
		s.control(c, func() any { q := s.queue; s.queue = nil; return q })
	default:
		c.SetStatusCode(fasthttp.StatusNotFound)
	}
}

func (s *standIn) control(c *fasthttp.RequestCtx, do func() any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := json.NewEncoder(c).Encode(do()); err != nil {
		c.SetStatusCode(fasthttp.StatusInternalServerError)
	}
}

// wait takes as long as a service would.
func (s *standIn) wait(of func(Delays) time.Duration) {
	s.mu.Lock()
	d := of(s.delays)
	s.mu.Unlock()
	if d > 0 {
		<-time.NewTimer(d).C
	}
}

func (s *standIn) ecd(c *fasthttp.RequestCtx) {
	name := string(c.Request.Header.Peek("x-acs-action"))
	s.count(name)
	var ids [][]byte
	c.QueryArgs().VisitAll(func(key, value []byte) {
		if bytes.HasPrefix(key, []byte("DesktopId.")) {
			ids = append(ids, value)
		}
	})
	c.SetContentType("application/json")
	switch name {
	case "RebuildDesktops":
		s.rebuild(c, ids)
	case "DescribeDesktops":
		answerList(c, "Desktops", ids, func(id []byte) { fmt.Fprintf(c, desktopShown, id, id, id, id) })
	case "DescribeImages":
		fmt.Fprintf(c, `{"RequestId":"R","Images":[`+imageShown+","+imageShown+"]}", oldImage, "2026-10", newImage, "2026-11")
	default:
		c.SetStatusCode(fasthttp.StatusNotFound)
		fmt.Fprintf(c, `{"RequestId":"R","Code":"InvalidAction.NotFound","Message":"the stand-in has no %s"}`, name)
	}
}

func (s *standIn) rebuild(c *fasthttp.RequestCtx, ids [][]byte) {
	s.mu.Lock()
	s.now++
	s.counts.AtOnce = max(s.counts.AtOnce, s.now)
	s.mu.Unlock()
	s.wait(func(d Delays) time.Duration { return d.Rebuild })
	s.mu.Lock()
	s.now--
	for _, id := range ids {
		s.counts.Wiped++
		if s.wiped[string(id)] {
			s.counts.Twice++
		}
		s.wiped[string(id)] = true
	}
	s.mu.Unlock()
	answerList(c, "RebuildResults", ids, func(id []byte) { fmt.Fprintf(c, `{"DesktopId":"%s","Code":"success","Message":"success"}`, id) })
}

func answerList(w io.Writer, name string, ids [][]byte, one func([]byte)) {
	fmt.Fprintf(w, `{"RequestId":"1CBAFFAB-B697-4049-A9B1-67E1FC5F0000","TotalCount":%d,"%s":[`, len(ids), name)
	for i, id := range ids {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		one(id)
	}
	fmt.Fprint(w, "]}")
}

// The answers have the fields, and about the size, of the real ones. Source:
// DescribeDesktops, DescribeImages.
const (
	desktopShown = `{"DesktopId":"%s","DesktopName":"%s","DesktopStatus":"Running","ConnectionStatus":"Disconnected","ImageId":"` + oldImage + `",` +
		`"OsType":"Windows","Platform":"Windows 11","DesktopType":"eds.enterprise_office.4c8g","Cpu":4,"Memory":8192,"GpuCategory":0,"GpuCount":0,` +
		`"ProtocolType":"ASP","SessionType":"SINGLE_SESSION","Disks":[{"DiskType":"SYSTEM","DiskId":"d-%s-1","DiskSize":80}],"DesktopGroupId":null,` +
		`"OfficeSiteId":"cn-hangzhou+dir-0000000001","DirectoryId":"cn-hangzhou+dir-0000000001","PolicyGroupId":"system-all-enabled-policy",` +
		`"PolicyGroupIdList":["system-all-enabled-policy"],"EndUserIds":["user-%s"],"BindAmount":1,"Sessions":[],"Tags":[],"ManagementFlag":"NoFlag",` +
		`"ManagementFlags":["NoFlag"],"ChargeType":"PostPaid","Progress":"100%%","CreationTime":"2026-01-05T08:00Z","StartTime":"2026-11-20T00:30Z"}`
	imageShown = `{"ImageId":"%s","Name":"win11-office","ImageType":"CUSTOM","Status":"Available","Progress":"100%%","OsType":"Windows",` +
		`"Platform":"Windows 11","GpuCategory":false,"ProtocolType":"ASP","SessionType":"SINGLE_SESSION","Size":60,"CreationTime":"%s-02T08:00:00Z"}`
)

const messageTaken = `<?xml version="1.0" encoding="utf-8"?><Message xmlns="http://mns.aliyuncs.com/doc/v1/">` +
	`<MessageId>5F290C926D472878-2-14D9529A8FA-200000001</MessageId><MessageBodyMD5>C5DD56A39F5F7BB8B3337C6D11B6D8C7</MessageBodyMD5></Message>`

func (s *standIn) publish(c *fasthttp.RequestCtx) {
	s.mu.Lock()
	if s.counts.First.IsZero() {
		s.counts.First = time.Now()
	}
	s.counts.Calls["PublishMessage"]++
	s.counts.Tags[string(between(c.PostBody(), "<MessageTag>", "</MessageTag>"))]++
	s.mu.Unlock()
	s.wait(func(d Delays) time.Duration { return d.Publish })
	s.take(c)
}

func (s *standIn) take(c *fasthttp.RequestCtx) {
	c.SetStatusCode(fasthttp.StatusCreated)
	c.SetContentType("text/xml")
	c.Response.Header.Set("x-mns-request-id", "5F290C926D472878")
	c.SetBodyString(messageTaken)
}

func (s *standIn) send(c *fasthttp.RequestCtx) {
	messages := bytes.SplitAfter(c.PostBody(), []byte("</Message>"))
	messages = messages[:len(messages)-1] // behind the last
	name := "SendMessage"
	if len(messages) > 1 {
		name = "BatchSendMessage"
	}
	s.mu.Lock()
	s.counts.Calls[name]++
	for _, m := range messages {
		seconds, _ := strconv.Atoi(string(between(m, "<DelaySeconds>", "</DelaySeconds>"))) // 0 when it is not there
		s.queue = append(s.queue, Message{string(between(m, "<MessageBody>", "</MessageBody>")), time.Now().Add(time.Duration(seconds) * time.Second)})
	}
	s.mu.Unlock()
	s.wait(func(d Delays) time.Duration { return d.Publish })
	s.take(c)
	if len(messages) > 1 {
		c.SetBodyString(`<Messages xmlns="http://mns.aliyuncs.com/doc/v1">` + strings.Repeat(messageTaken[strings.Index(messageTaken, "?>")+2:], len(messages)) + "</Messages>")
	}
}

// between cuts out what stands between two marks; JSON needs no unescaping but
// for the three characters that the function escapes.
func between(text []byte, from, to string) []byte {
	_, rest, _ := bytes.Cut(text, []byte(from))
	inner, _, _ := bytes.Cut(rest, []byte(to))
	for _, e := range [][2]string{{"&lt;", "<"}, {"&gt;", ">"}, {"&amp;", "&"}} {
		inner = bytes.ReplaceAll(inner, []byte(e[0]), []byte(e[1]))
	}
	return inner
}

var ecma = crc64.MakeTable(crc64.ECMA)

func (s *standIn) oss(c *fasthttp.RequestCtx, key string) {
	switch string(c.Method()) {
	case fasthttp.MethodPost:
		s.wait(func(d Delays) time.Duration { return d.Append })
		s.appendObject(c, key)
	case fasthttp.MethodGet:
		s.getObject(c, key)
	default:
		c.SetStatusCode(fasthttp.StatusMethodNotAllowed)
	}
}

// lease tells calls for the lease of a place from those for journals: how often it is
// asked for is a matter of time.
func lease(key string) string {
	if strings.Contains(key, "/lease/") {
		return "(lease)"
	}
	return ""
}

func (s *standIn) appendObject(c *fasthttp.RequestCtx, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Calls["AppendObject"+lease(key)]++
	o := s.objects[key]
	if o == nil {
		o = &object{}
		s.objects[key] = o
	}
	if at, err := strconv.Atoi(string(c.QueryArgs().Peek("position"))); err != nil || at != len(o.data) {
		ossError(c, fasthttp.StatusConflict, "PositionNotEqualToLength")
		return
	}
	o.data = append(o.data, c.PostBody()...)
	o.sum = crc64.Update(o.sum, ecma, c.PostBody())
	s.counts.JournalBytes += int64(len(c.PostBody()))
	c.Response.Header.Set("x-oss-next-append-position", strconv.Itoa(len(o.data)))
	c.Response.Header.Set("x-oss-request-id", "5F290C926D472878")
}

func (s *standIn) getObject(c *fasthttp.RequestCtx, key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Calls["GetObject"+lease(key)]++
	o := s.objects[key]
	if o == nil {
		ossError(c, fasthttp.StatusNotFound, "NoSuchKey")
		return
	}
	c.Response.Header.Set("ETag", `"5F290C926D472878"`)
	c.Response.Header.Set("x-oss-request-id", "5F290C926D472878")
	c.Response.Header.Set("x-oss-hash-crc64ecma", strconv.FormatUint(o.sum, 10))
	from := 0
	if r := c.Request.Header.Peek("Range"); len(r) > 0 {
		if _, err := fmt.Sscanf(string(r), "bytes=%d-", &from); err != nil || from >= len(o.data) {
			ossError(c, fasthttp.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		c.Response.Header.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(o.data)-1, len(o.data)))
		c.SetStatusCode(fasthttp.StatusPartialContent)
	}
	c.SetBody(o.data[from:])
}

func ossError(c *fasthttp.RequestCtx, status int, code string) {
	c.SetStatusCode(status)
	c.SetContentType("application/xml")
	fmt.Fprintf(c, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message><RequestId>5F290C926D472878</RequestId></Error>`, code, code)
}
