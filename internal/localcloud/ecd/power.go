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
		e.endSessions(c.now)
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
