package ecd

import (
	"testing"

	"github.com/regild/regild/handler/ecdtest"
	cloud "github.com/regild/regild/internal/localcloud/ecd"
)

// What the ECD of the simulation does, the local cloud's does too, behind this client.
func TestTheLocalCloudPassesTheSuite(t *testing.T) {
	var state cloud.State
	for _, i := range ecdtest.Images {
		state.Images = append(state.Images, cloud.Image{ID: i.ID, RegionID: i.RegionID, Name: i.Name, Created: i.Created})
	}
	for _, d := range ecdtest.Desktops {
		c := cloud.Desktop{ID: d.ID, RegionID: d.RegionID, ImageID: d.ImageID, Status: d.Status, Tags: d.Tags}
		if d.DataDisks > 0 {
			c.Disks = []cloud.Disk{{Type: "SYSTEM", GiB: 80}, {Type: "DATA", GiB: 100}}
		}
		state.Desktops = append(state.Desktops, c)
	}
	for name, do := range ecdtest.Cases {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, state)
			do(t, ecdtest.Service{ECD: w.Client, Context: t.Context(), Pass: w.clock.Advance})
		})
	}
}
