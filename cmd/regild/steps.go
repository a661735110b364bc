package main

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/fc"
)

//go:embed show
var show embed.FS

// A step is what is sent at once; the next step comes when all of it is settled.
type step struct {
	title   string
	queued  []message // put on the request queue together
	invoked []message // handed to the function, one after the other
}

// A message is what one file holds.
type message struct {
	name string
	body []byte
}

// maxEvent bounds an event file: the largest payload of an invocation.
const maxEvent = fc.MaxPayload

// showState returns the cloud of the show.
func showState() (localcloud.State, error) {
	data, err := show.ReadFile("show/cloud.yaml")
	if err != nil {
		return localcloud.State{}, err
	}
	return localcloud.Parse(data)
}

// showFleets writes the show's fleets where the function can read them, in a
// directory of their own.
func showFleets() (string, error) {
	data, err := show.ReadFile("show/fleets.yaml")
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "regild-local-")
	if err != nil {
		return "", fmt.Errorf("making a place for fleets.yaml: %w", err)
	}
	name := filepath.Join(dir, "fleets.yaml")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		return "", fmt.Errorf("writing fleets.yaml: %w", err)
	}
	return name, nil
}

// showSteps returns what the show sends. The first request comes twice, as a
// queue may deliver it.
func showSteps() ([]step, error) {
	requests := step{title: "the help desk puts requests on the queue: one twice, one cut off, one invalid"}
	for _, name := range []string{"1-cloudevent.json", "2-bare.json", "3-cut-off.json", "4-rebuilddesktops.json", "5-invalid.json", "1-cloudevent.json"} {
		body, err := show.ReadFile(path.Join("show", name))
		if err != nil {
			return nil, err
		}
		requests.queued = append(requests.queued, message{name, body})
	}
	release, err := show.ReadFile("show/release.json")
	if err != nil {
		return nil, err
	}
	bad, err := show.ReadFile("show/release-lab.json")
	if err != nil {
		return nil, err
	}
	published := step{title: "images are published: win11-office, release 2026.11.3, and win11-lab, which is bad",
		invoked: []message{{"release.json", release}, {"release-lab.json", bad}}}
	return []step{requests, published}, nil
}

// stepsOf makes one step of event files.
func stepsOf(names []string) ([]step, error) {
	var a step
	for _, name := range names {
		body, err := readEvent(name)
		if err != nil {
			return nil, err
		}
		m := message{filepath.Base(name), body}
		if delivered(body) {
			a.invoked = append(a.invoked, m)
		} else {
			a.queued = append(a.queued, m)
		}
	}
	a.title = strings.Join(names, ", ")
	return []step{a}, nil
}

func readEvent(name string) ([]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("reading an event: %w", err)
	}
	defer func() { _ = file.Close() }()
	body, err := io.ReadAll(io.LimitReader(file, maxEvent+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("reading event %s: %w", name, err)
	case len(body) > maxEvent:
		return nil, fmt.Errorf("reading event %s: it is larger than the %d MiB that a function is invoked with", name, maxEvent>>20)
	case len(body) == 0:
		return nil, fmt.Errorf("reading event %s: it is empty", name)
	}
	return body, nil
}

// queueLimit is what a message on a queue may hold, in bytes. Source: MNS,
// "Limits".
const queueLimit = 64 << 10

// delivered says whether the file holds what a trigger delivers, and not the
// body of a message.
func delivered(body []byte) bool {
	var e struct {
		SpecVersion string `json:"specversion"`
	}
	if json.Unmarshal(body, &e) == nil && e.SpecVersion != "" {
		return true
	}
	return len(body) > queueLimit || bytes.HasPrefix(bytes.TrimSpace(body), []byte("["))
}

// tries is how often a direct invocation is tried, as FC does with an
// asynchronous one. Source: FC, "Error handling".
const tries = 3

// send sends all of a step.
func (s *session) send(ctx context.Context, a step) error {
	for _, m := range a.queued {
		if _, err := s.cloud.MNS.Send(localcloud.RequestQueue, m.body, 0); err != nil {
			return fmt.Errorf("putting %s on the request queue: %w", m.name, err)
		}
	}
	for _, m := range a.invoked {
		for try := range tries {
			result, err := s.invoker.InvokeEvent(ctx, fc.Event{Payload: m.body, RetryCount: try})
			if err != nil {
				return fmt.Errorf("handing %s to the function: %w", m.name, err)
			}
			if !result.Failed() {
				break
			}
			if try == tries-1 {
				return s.scenario.log.with(fmt.Errorf("the function failed on %s %d times: %w", m.name, tries, result.Err()))
			}
		}
	}
	return nil
}
