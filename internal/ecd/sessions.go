package ecd

import (
	"context"
	"fmt"
	"time"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/regild/regild/internal/desktop"
)

const (
	// maxSessionPages bounds how many pages of 100 sessions are read of 100
	// desktops: what is beyond is an error, and then they count as in use.
	maxSessionPages = 50
	// maxEventPages bounds how many pages of 100 events are read at once.
	maxEventPages = 200
)

// timeForm is how ECD takes a time. Source: DescribeDesktopSessions, "StartTime".
const timeForm = "2006-01-02T15:04:05Z"

type describedSessions struct {
	envelope
	Sessions   list[describedSession]
	TotalCount number
}

type describedSession struct {
	DesktopID        text `json:"DesktopId"`
	EndUserID        text `json:"EndUserId"`
	SessionStatus    text
	SessionStartTime text
	SessionIdleTime  *number
}

func (s describedSession) session() desktop.Session {
	out := desktop.Session{DesktopID: string(s.DesktopID), User: string(s.EndUserID), Status: string(s.SessionStatus), Started: parseTime(s.SessionStartTime)}
	if s.SessionIdleTime != nil && *s.SessionIdleTime > 0 { // 0 is also what a field that is not filled in shows
		out.Idle, out.IdleKnown = time.Duration(*s.SessionIdleTime)*time.Second, true
	}
	return out
}

// Sessions returns the sessions on the desktops, each of which has an entry in the
// result, if only an empty one. From a time on, unless it is zero: those that began
// before may be left out, or not.
func (c *Client) Sessions(ctx context.Context, region string, ids []string, from time.Time) (map[string][]desktop.Session, error) {
	ids = distinct(ids)
	found, err := gather(ctx, c, ids, maxIDs, func(ctx context.Context, chunk []string) (map[string][]desktop.Session, error) {
		return c.listSessions(ctx, region, chunk, from)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the sessions of %d desktops in %s: %w", len(ids), region, err)
	}
	return found, nil
}

func (c *Client) listSessions(ctx context.Context, region string, ids []string, from time.Time) (map[string][]desktop.Session, error) {
	const api = "DescribeDesktopSessions"
	query := sdk.DescribeDesktopSessionsRequest{RegionId: &region, DesktopId: pointers(ids), CheckOsSession: new(true), PageSize: new(pageSize)}
	if !from.IsZero() {
		query.StartTime = new(from.UTC().Format(timeForm))
	}
	found := make(map[string][]desktop.Session, len(ids))
	for _, id := range ids {
		found[id] = []desktop.Session{}
	}
	seen := 0
	for n := range int32(maxSessionPages) {
		query.PageNumber = new(n + 1)
		page, _, err := ask[describedSessions](ctx, c, &c.in(region).reads, api, region,
			func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
				_, err := s.DescribeDesktopSessionsWithContext(ctx, &query, o)
				return err
			})
		if err != nil {
			return nil, err
		}
		for _, s := range page.Sessions {
			id := string(s.DesktopID)
			if id == "" { // it may be of any of them
				return nil, &desktop.CallError{Call: api, Message: "a session names no desktop"}
			}
			if _, wanted := found[id]; !wanted {
				continue
			}
			found[id] = append(found[id], s.session())
		}
		// Without a count, or with one of 0 that sessions contradict, an empty page is the end.
		if seen += len(page.Sessions); len(page.Sessions) == 0 || page.TotalCount > 0 && seen >= int(page.TotalCount) {
			return found, nil
		}
	}
	return nil, &desktop.CallError{Call: api, Message: fmt.Sprintf("more than %d pages", maxSessionPages)}
}

type describedEvents struct {
	envelope
	Events list[struct {
		DesktopID text `json:"DesktopId"`
		EndUserID text `json:"EndUserId"`
		EventType text
		EventTime text
	}]
	NextToken text
}

// eventKinds are the types of events that are read. Source: DescribeClientEvents,
// "EventType".
var eventKinds = map[string]desktop.EventKind{"GET_CONNECTION_TICKET": desktop.TicketAsked, "DESKTOP_CONNECT": desktop.ConnectDone}

// Events returns who asked to connect, and who did, to one desktop, or with id ""
// in the whole region, in no particular order. An event without desktop or time is
// left out.
func (c *Client) Events(ctx context.Context, region, id string, from, to time.Time) ([]desktop.Event, error) {
	const api = "DescribeClientEvents"
	query := sdk.DescribeClientEventsRequest{RegionId: &region, MaxResults: new(pageSize),
		EventTypes: pointers([]string{"GET_CONNECTION_TICKET", "DESKTOP_CONNECT"}),
		StartTime:  new(from.UTC().Format(timeForm)), EndTime: new(to.UTC().Format(timeForm))}
	if id != "" {
		query.DesktopId = &id
	}
	var out []desktop.Event
	err := pages(api, maxEventPages, func(token *string) (string, error) {
		query.NextToken = token
		page, _, err := ask[describedEvents](ctx, c, &c.in(region).reads, api, region,
			func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
				_, err := s.DescribeClientEventsWithContext(ctx, &query, o)
				return err
			})
		for _, e := range page.Events {
			event := desktop.Event{DesktopID: string(e.DesktopID), User: string(e.EndUserID), Kind: eventKinds[string(e.EventType)], At: parseTime(e.EventTime)}
			if event.Kind != 0 && event.DesktopID != "" && !event.At.IsZero() {
				out = append(out, event)
			}
		}
		return string(page.NextToken), err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the events of clients in %s: %w", region, err)
	}
	return out, nil
}
