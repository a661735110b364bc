package bench

import (
	"fmt"
	"maps"
	"os"
	"testing"
)

// What a benchmark can only show, these hold: the number of calls, which no
// machine's speed changes. They run the real binary.

func TestNDesktopsOfOneSpecTakeExactlyOneCallForEachTwenty(t *testing.T) {
	c := newCloud(t)
	main := c.build("main", "github.com/regild/regild")
	for _, k := range []struct{ n, rebuild, describe, messages int }{
		{1, 1, 1, 1}, {20, 1, 1, 1}, {21, 2, 1, 1}, {100, 5, 1, 1}, {101, 6, 2, 1}, {2000, 100, 20, 1}, {2001, 101, 21, 2},
	} {
		t.Run(fmt.Sprint(k.n), func(t *testing.T) {
			name := fmt.Sprintf("n%d", k.n)
			m := c.measure(c.function(main, withJournal(name)), name, k.n)
			got := maps.Clone(m.counts.Calls)
			delete(got, "AppendObject") // writers that meet share one: see the next test
			delete(got, "AppendObject(lease)")
			delete(got, "GetObject(lease)")
			want := map[string]int{
				"RebuildDesktops": k.rebuild, "DescribeDesktops": k.describe, "DescribeImages": 1, "PublishMessage": k.n,
				// The journal, and the freezes: once for the decision and before each call.
				"GetObject": k.messages + 1 + k.rebuild, "SendMessage": k.messages, "BatchSendMessage": k.messages, // one tick before anything is begun; one to follow it, with its watchdog
			}
			if !maps.Equal(got, want) {
				t.Errorf("calls are %v, want %v", got, want)
			}
		})
	}
}

func TestTheJournalCostsAtMostTwoAppendsABatchAndAConstant(t *testing.T) {
	c := newCloud(t)
	main := c.build("main", "github.com/regild/regild")
	for _, n := range []int{1, 20, 2000} {
		name := fmt.Sprintf("j%d", n)
		m := c.measure(c.function(main, withJournal(name)), name, n)
		// Opened with the first tick, the index of open requests, and published with
		// the last tick, or before it when that is much.
		most := 2*m.counts.Calls["RebuildDesktops"] + 3
		if n > 100 {
			most++
		}
		if m.counts.Calls["AppendObject"] > most {
			t.Errorf("%d desktops: %d appends, want %d at most", n, m.counts.Calls["AppendObject"], most)
		}
		if leased := m.counts.Calls["AppendObject(lease)"] + m.counts.Calls["GetObject(lease)"]; n <= 20 && leased > 0 {
			t.Errorf("%d desktops: %d calls for the lease of the place, want none for one call at once", n, leased)
		}
	}
}

func TestARedeliveredRequestOnlyReads(t *testing.T) {
	c := newCloud(t)
	main := c.build("main", "github.com/regild/regild")
	const n = 4000
	f := c.function(main, withJournal("redelivered"))
	c.measure(f, "redelivered", n)
	c.again(f, "redelivered", n)
}

// The linker leaves out what is not called of ECD's SDK, as long as no type parameter has
// the SDK's client in it: else it keeps all of its 400 operations, which are 9 MB. All of the
// binary counts in memory and at each start.
func TestTheBinaryHasOnlyThoseOperationsOfTheSDKThatAreCalled(t *testing.T) {
	const most = 20 << 20
	c := newCloud(t)
	info, err := os.Stat(c.build("main", "github.com/regild/regild"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > most {
		t.Errorf("the function's binary has %d bytes, want at most %d", info.Size(), most)
	}
}
