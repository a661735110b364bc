package fleet

import (
	"os"
	"strings"
	"testing"
)

func TestTheExampleIsKnownWhateverItsFleetsAreCalled(t *testing.T) {
	data, err := os.ReadFile("../../fleets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	fleets, err := Parse("fleets.yaml", data)
	if err != nil || len(fleets) != len(example) {
		t.Fatalf("got %d fleets, %v, want %d", len(fleets), err, len(example))
	}
	for i, f := range fleets {
		f.Name = "ours"
		f.Strategy = Strategy{}
		if !f.FromExample() {
			t.Errorf("fleet %d of fleets.yaml is not known as the example's: its digest is %s", i, f.digest())
		}
		f.Select.Tags = map[string]string{"team": "ours"}
		if f.FromExample() {
			t.Errorf("fleet %d with desktops of its own counts as the example's", i)
		}
	}
}

func TestWhatIsWideOpenIsWarnedOf(t *testing.T) {
	parse := func(text string) Fleet {
		fleets, err := Parse("fleets.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return fleets[0]
	}
	open := parse("fleets:\n  - {name: a, region: cn-hangzhou, images: ['*'], select: all, strategy: {approval: none, canary: '20%', waves: ['50%']}}\n")
	for _, want := range []string{"images matches every name", "select: all takes every desktop", "approval: none", "more than a tenth of the fleet (20%)", "no windows"} {
		if !strings.Contains(strings.Join(open.Warnings(), "\n"), want) {
			t.Errorf("got %q, want %s", open.Warnings(), want)
		}
	}
	careful := parse("fleets:\n  - {name: a, region: cn-hangzhou, images: ['win11-*'], select: {tags: {fleet: a}}, strategy: {canary: '10%', waves: ['50%'], windows: [{from: '20:00', to: '06:00', zone: Asia/Shanghai}]}}\n")
	if got := careful.Warnings(); len(got) != 0 {
		t.Errorf("got %q of a careful fleet", got)
	}
}
