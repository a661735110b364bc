package ecd

import (
	"net/http"
	"strings"
)

// maxDesktops is how many desktops the operations of this file take.
const maxDesktops = 100

// setDesktopMaintenance lets users who are connected stay, and nobody come. The
// vendor's own example writes the mode in lower case.
func (s *Server) setDesktopMaintenance(c *call) (any, error) {
	mode, err := c.required("Mode")
	if err != nil {
		return nil, err
	}
	enter := strings.EqualFold(mode, "ENTER")
	if !enter && !strings.EqualFold(mode, "EXIT") {
		return nil, invalid("Mode", "it must be ENTER or EXIT")
	}
	entries, err := s.named(c, "DesktopIds")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		e.Maintenance = enter
	}
	return c.id(), nil
}

func (s *Server) stopDesktops(c *call) (any, error) {
	if _, err := c.oneOf("StoppedMode", "StopCharging", "KeepCharging"); err != nil {
		return nil, err
	}
	entries, err := s.inStatus(c, Running)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		e.endSessions()
		e.power(Stopping, Stopped, c.now, stopTakes)
	}
	return c.id(), nil
}

func (s *Server) startDesktops(c *call) (any, error) {
	entries, err := s.inStatus(c, Stopped)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		e.power(Starting, Running, c.now, startTakes)
	}
	return c.id(), nil
}

// inStatus returns the desktops of the call, if all are in that status.
func (s *Server) inStatus(c *call, status string) ([]*entry, error) {
	entries, err := s.named(c, "DesktopId")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Status != status {
			return nil, refuse(http.StatusBadRequest, "IncorrectDesktopStatus", "The current status of the desktop %s does not support this operation.", e.ID)
		}
	}
	return entries, nil
}

// named returns the desktops of a list of ids.
func (s *Server) named(c *call, list string) ([]*entry, error) {
	region, ids, err := c.regional(list, maxDesktops)
	if err != nil {
		return nil, err
	}
	return s.find(ids, region, "DesktopId")
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
	SessionIdleTime                   int64 // seconds, as the next two
	LatestConnectionTime              int64
	TotalConnectionTime               int64
}

// describeDesktopSessions lists the sessions there are; ended ones are gone,
// where the service remembers them for 30 days.
func (s *Server) describeDesktopSessions(c *call) (any, error) {
	region, err := c.region()
	if err != nil {
		return nil, err
	}
	ids, err := c.list("DesktopId", maxDesktops)
	if err != nil {
		return nil, err
	}
	status, err := c.oneOf("SessionStatus", Connected, Disconnected)
	if err != nil {
		return nil, err
	}
	checkOS, err := c.flag("CheckOsSession", false)
	if err != nil {
		return nil, err
	}
	p, err := c.numberedPage("DescribeDesktopSessions", 100)
	if err != nil {
		return nil, err
	}
	or(&p.number, 1) // this operation has no NextToken
	user := c.params["EndUserId"]
	or(&user, c.params["EndUserIdFilter"])
	var found []desktopSession
	for _, e := range s.candidates(ids) {
		e.settle(c.now)
		if e.RegionID != region || e.Ghost {
			continue
		}
		for _, session := range e.Sessions {
			shown := s.showSession(c, e, session, checkOS)
			if (status == "" || status == shown.SessionStatus) && (user == "" || user == session.User) {
				found = append(found, shown)
			}
		}
	}
	part, _ := cut(found, p, func(desktopSession) int { return 0 })
	return sessionsAnswer{c.id(), append([]desktopSession{}, part...), len(found)}, nil
}

func (s *Server) showSession(c *call, e *entry, session Session, checkOS bool) desktopSession {
	since := s.since(session)
	shown := desktopSession{
		DesktopId: e.ID, DesktopName: e.Name, EndUserId: session.User, SessionStatus: Connected,
		OsType: titled(e.OS), ProtocolType: e.Protocol, OfficeSiteId: e.OfficeSiteID,
		SessionStartTime:     seconds(since),
		SessionIdleTime:      int64(session.Idle.Seconds()),
		LatestConnectionTime: int64(max(0, c.now.Sub(since)).Seconds()),
	}
	shown.TotalConnectionTime = shown.LatestConnectionTime
	if session.Disconnected {
		shown.SessionStatus = Disconnected
	}
	if checkOS {
		shown.OsSessionStatus = "Active"
		if session.Disconnected {
			shown.OsSessionStatus = Disconnected
		}
	}
	return shown
}
