package localcloud

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
)

// digging is a server whose connections can become black holes, and a client
// of it that keeps one connection.
type digging struct {
	*testing.T
	holes  holes
	url    string
	served chan string
	client *http.Client
}

func newDigging(t *testing.T) *digging {
	d := &digging{T: t, served: make(chan string, 10)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.url = "http://" + listener.Addr().String()
	server := &http.Server{ReadHeaderTimeout: headerLimit, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		d.served <- r.URL.Path
	})}
	go func() { _ = server.Serve(d.holes.listen(listener)) }()
	t.Cleanup(func() { _ = server.Close() })
	d.client = &http.Client{Transport: &http.Transport{}}
	return d
}

// ask sends a request under ctx and returns its error.
func (d *digging) ask(ctx context.Context, path string) error {
	d.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, d.url+path, nil)
	if err != nil {
		d.Fatal(err)
	}
	res, err := d.client.Do(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return errors.Join(err, res.Body.Close())
}

func (d *digging) must(path string) {
	d.Helper()
	if err := d.ask(d.Context(), path); err != nil {
		d.Fatalf("asking for %s: %v", path, err)
	}
	if got := <-d.served; got != path {
		d.Fatalf("served %s, want %s", got, path)
	}
}

func TestARequestIntoABlackHoleIsNeitherAnsweredNorRefused(t *testing.T) {
	d := newDigging(t)
	d.must("/before")
	d.holes.swallow("one", os.Getpid())
	ctx, cancel := context.WithCancel(t.Context())
	hung := make(chan error, 1)
	go func() { hung <- d.ask(ctx, "/into-the-hole") }()
	for d.holes.count().Lost == 0 {
		runtime.Gosched() // until it is on its way
	}
	(&digging{T: t, url: d.url, served: d.served, client: &http.Client{Transport: &http.Transport{}}}).must("/beside")
	select {
	case err := <-hung:
		t.Errorf("the request ended with %v, want it to hang", err)
	default:
	}
	cancel()
	if err := <-hung; !errors.Is(err, context.Canceled) {
		t.Errorf("the request ended with %v, want only its own context to end it", err)
	}
	d.must("/after") // on a connection of its own
	if len(d.served) > 0 {
		t.Errorf("served %s", <-d.served)
	}
}

func TestBlackHolesAreCountedAndThoseThatWereWrittenInto(t *testing.T) {
	d := newDigging(t)
	d.must("/before")
	d.holes.swallow("one", os.Getpid())
	if got, want := d.holes.count(), (HoleCount{Made: 1}); got != want {
		t.Errorf("after the first freeze: got %+v, want %+v", got, want)
	}
	d.client.CloseIdleConnections() // the end of a connection is no request
	d.must("/renewed")
	d.holes.swallow("one", os.Getpid())
	if got, want := d.holes.count(), (HoleCount{Made: 2}); got != want {
		t.Errorf("after the second freeze: got %+v, want %+v", got, want)
	}
}

func TestABlackHoleIsLetGoAtTheNextFreezeOfItsInstanceOnly(t *testing.T) {
	d := newDigging(t)
	d.must("/before")
	d.holes.swallow("one", os.Getpid())
	d.holes.swallow("two", os.Getppid())
	if n := len(d.holes.dead["one"]); n != 1 {
		t.Errorf("black holes of the first instance: got %d, want 1", n)
	}
	d.holes.swallow("one", os.Getppid())
	if n := len(d.holes.dead["one"]); n != 0 {
		t.Errorf("black holes after its next freeze: got %d, want none", n)
	}
	if len(d.holes.open) != 0 {
		t.Errorf("open connections: got %d, want none", len(d.holes.open))
	}
}

func TestTheFunctionsConnectionsAreBlackHolesAndTheAdminsAreNot(t *testing.T) {
	c, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for _, url := range []string{c.ECDURL, c.MNSURL, c.OSSURL, c.AdminURL} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if _, err := io.WriteString(conn, "GET /clock HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != nil { // accepted, and answered
			t.Fatal(err)
		}
	}
	c.Sever("one", os.Getpid())
	if got := c.BlackHoles().Made; got != 3 {
		t.Errorf("black holes: got %d, want 3", got)
	}
}
