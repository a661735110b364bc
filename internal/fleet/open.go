package fleet

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"slices"
	"strings"

	"github.com/regild/regild/internal/desktop"
)

// Warnings says what of a fleet is wide open: legal, and seldom meant. One
// sentence each; none is usual.
func (f Fleet) Warnings() []string {
	var out []string
	if slices.ContainsFunc(f.Images, func(p string) bool { return strings.Trim(p, "*?") == "" }) {
		out = append(out, `images matches every name, so any new image of the account is rolled out; name a pattern such as "win11-office*"`)
	}
	if reflect.DeepEqual(f.Select, desktop.Selector{}) {
		out = append(out, "select: all takes every desktop of "+f.Region+", those that are added later too; select by a tag")
	}
	s := f.Strategy
	if reflect.DeepEqual(s.Approval, Approval{}) {
		out = append(out, "approval: none lets a rollout go from the canary to everybody without a person; leave it out, or write canary")
	}
	// A hundred desktops show a share; a count is judged by the doctor, who knows the fleet.
	if len(s.Canary.Tags) == 0 && s.Canary.Amount.Count == 0 && s.Canary.Size(1000, 0) > 100 {
		out = append(out, "the canary is more than a tenth of the fleet ("+s.Canary.Amount.String()+")")
	}
	if len(s.Windows) == 0 {
		out = append(out, "no windows: rebuilds may begin at any hour, in working hours too")
	}
	return out
}

// example are digests of the fleets in the project's fleets.yaml; a test keeps
// them so.
var example = []string{
	"9b59a5d30eb4a459",
	"bbed7b0ba2fea1dc",
}

// FromExample says whether the fleet follows the same images on the same
// desktops as one of the example's. Its name and strategy do not matter.
func (f Fleet) FromExample() bool { return slices.Contains(example, f.digest()) }

func (f Fleet) digest() string {
	data, err := json.Marshal(struct {
		Region string
		Images []string
		Select desktop.Selector
	}{f.Region, f.Images, f.Select})
	if err != nil { // strings, lists and maps of strings only
		panic(err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}
