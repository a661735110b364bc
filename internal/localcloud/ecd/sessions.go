package ecd

import (
	"slices"
	"time"
)

// remembered is for how long the service shows sessions and events. Source:
// DescribeDesktopSessions.
const remembered = 30 * 24 * time.Hour

// An ended session.
type ended struct {
	Session
	end time.Time
}

type sessionsAnswer struct {
	id
	Sessions   []desktopSession
	TotalCount int
}

type desktopSession struct {
	DesktopId, DesktopName, EndUserId string
	SessionStatus                     string
	OsSessionStatus                   string `json:",omitempty"` // with CheckOsSession only
	OsType, ProtocolType              string
	OfficeSiteId                      string
	SessionStartTime                  string
	SessionEndTime                    string `json:",omitempty"`
	SessionIdleTime                   *int64 `json:",omitempty"` // seconds, as the next two
	LatestConnectionTime              int64
	TotalConnectionTime               int64
}

// A sessionFilter is what DescribeDesktopSessions was asked for.
type sessionFilter struct {
	region, status, user string
	ids                  []string
	from, to             time.Time
	checkOS              bool
}

// describeDesktopSessions lists the sessions there are, and those of the last 30
// days that have ended. Of a time range it takes those that were there in it.
func (s *Server) describeDesktopSessions(c *call) (any, error) {
	f, err := c.sessionFilter()
	if err != nil {
		return nil, err
	}
	p, err := c.numberedPage("DescribeDesktopSessions", 100)
	if err != nil {
		return nil, err
	}
	or(&p.number, 1) // this operation has no NextToken
	var found []desktopSession
	for _, e := range s.candidates(f.ids) {
		e.settle(c.now)
		if e.RegionID != f.region || e.Ghost {
			continue
		}
		for _, past := range e.past {
			if c.now.Sub(past.end) < remembered && f.match(Disconnected, past.Session, s.since(past.Session), past.end) {
				found = append(found, s.showPast(c, e, past, f.checkOS))
			}
		}
		for _, session := range e.Sessions {
			if f.match(session.status(), session, s.since(session), c.now) {
				found = append(found, s.showSession(c, e, session, f.checkOS))
			}
		}
	}
	part, _ := cut(found, p, func(desktopSession) int { return 0 })
	return sessionsAnswer{c.id(), append([]desktopSession{}, part...), len(found)}, nil
}

func (c *call) sessionFilter() (f sessionFilter, err error) {
	if f.region, err = c.region(); err != nil {
		return f, err
	}
	if f.ids, err = c.list("DesktopId", maxDesktops); err != nil {
		return f, err
	}
	if f.status, err = c.oneOf("SessionStatus", Connected, Disconnected); err != nil {
		return f, err
	}
	if f.checkOS, err = c.flag("CheckOsSession", false); err != nil {
		return f, err
	}
	if f.from, f.to, err = c.span(); err != nil {
		return f, err
	}
	f.user = c.params["EndUserId"]
	or(&f.user, c.params["EndUserIdFilter"])
	return f, nil
}

func (f sessionFilter) match(status string, s Session, from, to time.Time) bool {
	return is(f.status, status) && is(f.user, s.User) && !to.Before(f.from) && (f.to.IsZero() || !from.After(f.to))
}

func (s Session) status() string {
	if s.Disconnected {
		return Disconnected
	}
	return Connected
}

func (s *Server) showSession(c *call, e *entry, session Session, checkOS bool) desktopSession {
	since := s.since(session)
	shown := desktopSession{
		DesktopId: e.ID, DesktopName: e.Name, EndUserId: session.User, SessionStatus: session.status(),
		OsType: titled(e.OS), ProtocolType: e.Protocol, OfficeSiteId: e.OfficeSiteID,
		SessionStartTime:     seconds(since),
		LatestConnectionTime: int64(max(0, c.now.Sub(since)).Seconds()),
	}
	shown.TotalConnectionTime = shown.LatestConnectionTime
	if !session.IdleHidden {
		var idle int64
		if !session.IdleSince.IsZero() {
			idle = int64(max(0, c.now.Sub(session.IdleSince)).Seconds())
		}
		shown.SessionIdleTime = &idle
	}
	if checkOS {
		shown.OsSessionStatus = "Active"
		if session.Disconnected {
			shown.OsSessionStatus = Disconnected
		}
	}
	return shown
}

func (s *Server) showPast(c *call, e *entry, past ended, checkOS bool) desktopSession {
	past.Disconnected, past.IdleHidden = true, true
	shown := s.showSession(c, e, past.Session, checkOS)
	shown.SessionEndTime = seconds(past.end)
	shown.LatestConnectionTime = int64(max(0, past.end.Sub(s.since(past.Session))).Seconds())
	shown.TotalConnectionTime = shown.LatestConnectionTime
	return shown
}

// span reads StartTime and EndTime; zero when they are not there.
func (c *call) span() (from, to time.Time, err error) {
	for name, at := range map[string]*time.Time{"StartTime": &from, "EndTime": &to} {
		if v := c.params[name]; v != "" {
			if *at, err = time.Parse("2006-01-02T15:04:05Z", v); err != nil {
				return from, to, invalid(name, "it must be such as 2026-11-23T08:00:00Z")
			}
		}
	}
	return from, to, nil
}

// Types of events. Source: DescribeClientEvents, "EventType".
const (
	eventTicket     = "GET_CONNECTION_TICKET"
	eventConnect    = "DESKTOP_CONNECT"
	eventDisconnect = "DESKTOP_DISCONNECT"
)

// A clientEvent is something that a user did at a desktop.
type clientEvent struct {
	kind, user, status string
	at                 time.Time
}

func (e *entry) event(kind, user string, at time.Time, status string) {
	e.events = append(e.events, clientEvent{kind, user, status, at})
}

type clientEventsAnswer struct {
	id
	Events    []clientEventShown
	NextToken string
}

type clientEventShown struct {
	EventId, EventType, EventTime string
	DesktopId, DesktopName        string
	EndUserId, RegionId           string
	Status                        string `json:",omitempty"` // of tickets and disconnections only
	position                      int
	at                            time.Time
}

// describeClientEvents shows a region's events, or those of one desktop, oldest
// first; the vendor promises no order.
func (s *Server) describeClientEvents(c *call) (any, error) {
	region, p, err := c.paged("DescribeClientEvents", 100)
	if err != nil {
		return nil, err
	}
	if c.params["MaxResults"] == "" {
		p.size = 100
	}
	kinds, err := c.list("EventTypes", 20)
	if err != nil {
		return nil, err
	}
	if one := c.params["EventType"]; one != "" {
		kinds = append(kinds, one)
	}
	from, to, err := c.span()
	if err != nil {
		return nil, err
	}
	or(&to, c.now)
	var found []clientEventShown
	for _, e := range s.order {
		e.settle(c.now)
		if e.RegionID != region || e.Ghost || !is(c.params["DesktopId"], e.ID) {
			continue
		}
		for n, ev := range e.events {
			if ev.at.Before(from) || ev.at.After(to) || c.now.Sub(ev.at) >= remembered || !is(c.params["EndUserId"], ev.user) ||
				len(kinds) > 0 && !slices.Contains(kinds, ev.kind) {
				continue
			}
			found = append(found, clientEventShown{EventId: e.ID + "-" + layout(ev.at, "150405") + "-" + string(rune('a'+n%26)), EventType: ev.kind,
				EventTime: seconds(ev.at),
				DesktopId: e.ID, DesktopName: e.Name, EndUserId: ev.user, RegionId: e.RegionID, Status: ev.status, at: ev.at})
		}
	}
	slices.SortStableFunc(found, func(a, b clientEventShown) int { return a.at.Compare(b.at) })
	for i := range found {
		found[i].position = i + 1
	}
	part, next := cut(found, p, func(f clientEventShown) int { return f.position })
	return clientEventsAnswer{c.id(), append([]clientEventShown{}, part...), next}, nil
}
