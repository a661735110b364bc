package journal_test

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/oss"
)

func TestMemoryKeepsTheContract(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) journaltest.Harness {
		s := journaltest.Memory()
		return journaltest.Harness{Open: func(*testing.T) journal.Store { return s }}
	})
}

func TestFilesKeepTheContract(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) journaltest.Harness {
		dir := filepath.Join(t.TempDir(), "not", "there", "yet")
		return journaltest.Harness{
			Open: func(t *testing.T) journal.Store { return openDir(t, dir) },
			Remove: func(t *testing.T, key string) {
				if err := os.Remove(filepath.Join(dir, key)); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

func TestOSSKeepsTheContract(t *testing.T) {
	journaltest.Run(t, func(t *testing.T) journaltest.Harness { return newCloud(t).harness() })
}

func TestOSSKeepsTheContractWhenCallsFailAtRandom(t *testing.T) {
	for seed := range uint64(3) {
		journaltest.Run(t, func(t *testing.T) journaltest.Harness {
			c := newCloud(t)
			c.faults.Seed(seed)
			for _, kind := range []fault.Kind{
				fault.Throttle, fault.Error, fault.ErrorAfter, fault.HTML, fault.Empty, fault.EmptyAfter,
				fault.CloseBefore, fault.CloseAfter, fault.Truncate,
			} {
				c.faults.Add(fault.Rule{Kind: kind, Probability: 0.03})
			}
			return c.harness()
		})
	}
}

func openDir(t testing.TB, dir string) journal.Store {
	t.Helper()
	// The wait for a lock is long, so that a slow machine fails no test.
	s, err := journal.Open("file://"+dir, journal.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

const bucket = "journal-of-tests"

// A cloud is an OSS stand-in on loopback.
type cloud struct {
	*oss.Server
	faults *fault.Injector
	url    string
	keys   credentials.Keys
}

func newCloud(t testing.TB) *cloud {
	t.Helper()
	c := &cloud{faults: &fault.Injector{}, keys: credentials.Keys{ID: "AKIDTEST", Secret: "secret-of-the-key"}}
	c.Server = oss.New(oss.Options{Faults: c.faults, Buckets: []string{bucket}, Keys: []oss.Keys{{ID: c.keys.ID, Secret: c.keys.Secret}}})
	server := httptest.NewServer(c.Handler())
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

func (c *cloud) options() journal.Options {
	return journal.Options{
		Region: "cn-hangzhou", OSSEndpoint: c.url, Timeout: time.Minute, Backoff: time.Nanosecond,
		Keys: func(context.Context) (credentials.Keys, error) { return c.keys, nil },
	}
}

func (c *cloud) open(t testing.TB) journal.Store {
	t.Helper()
	s, err := journal.Open("oss://"+bucket+"/regild/prod/", c.options())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// object is where a log's object is.
func object(key string) string { return "regild/prod/" + key }

func (c *cloud) harness() journaltest.Harness {
	return journaltest.Harness{
		Open:   func(t *testing.T) journal.Store { return c.open(t) },
		Remove: func(_ *testing.T, key string) { c.Remove(bucket, object(key)) },
	}
}

func BenchmarkAppend(b *testing.B) {
	b.Run("memory", func(b *testing.B) { journaltest.Benchmark(b, journaltest.Memory()) })
	b.Run("file", func(b *testing.B) { journaltest.Benchmark(b, openDir(b, b.TempDir())) })
	b.Run("oss", func(b *testing.B) { journaltest.Benchmark(b, newCloud(b).open(b)) })
}

func TestAListingTellsSizeAndTime(t *testing.T) {
	cloud := newCloud(t)
	for name, s := range map[string]journal.Store{"file": openDir(t, t.TempDir()), "oss": cloud.harness().Open(t)} {
		for _, id := range []string{"b", "a"} {
			if _, err := journaltest.Append(t.Context(), s, journal.Key("request", id), 0, []byte("line\n")); err != nil {
				t.Fatal(err)
			}
		}
		got, err := journal.Entries(t.Context(), s, "request/")
		if err != nil || len(got) != 2 || got[0].Key != journal.Key("request", "a") {
			t.Fatalf("%s: got %+v, %v; want two entries in order", name, got, err)
		}
		for _, e := range got {
			if e.Size != 5 || e.Written.IsZero() {
				t.Errorf("%s: got %+v, want 5 bytes and a time", name, e)
			}
		}
	}
	if got, err := journal.Entries(t.Context(), journaltest.Memory(), ""); err != nil || len(got) != 0 {
		t.Errorf("memory: got %+v, %v", got, err)
	}
}
