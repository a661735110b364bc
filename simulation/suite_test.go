package simulation

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/handler/ecdtest"
	"github.com/regild/regild/internal/desktop"
)

// What the local cloud's ECD does, that of the simulation does too: both pass one suite.
func TestTheSimulatedECDPassesTheSuite(t *testing.T) {
	s := &schedule{Records: true}
	for _, d := range ecdtest.Desktops {
		s.Desktops = append(s.Desktops, desktopPlan{ID: d.ID, Region: d.RegionID, Image: d.ImageID, Status: d.Status, Tags: d.Tags, Disks: d.DataDisks,
			Takes: 10 * minute, Snapshot: minute})
	}
	for n, i := range ecdtest.Images {
		s.Images = append(s.Images, imagePlan{ID: i.ID, Name: i.Name, Region: i.RegionID, Day: n})
	}
	for name, do := range ecdtest.Cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(s, nil)
				i := &invocation{id: "suite", on: &instance{}, shown: map[string]shot{}, images: map[string]desktop.Image{}}
				pass := time.Sleep //nolint:forbidigo // the fake clock's time, which costs none
				do(t, ecdtest.Service{ECD: &ecd{w}, Context: context.WithValue(t.Context(), invocationKey{}, i), Pass: pass})
			})
		})
	}
}
