package handler

import (
	"fmt"
	"log/slog"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// Services are what the handler uses of ECD in one account. All but ECD may be nil; see
// Config for what that costs.
type Services struct {
	ECD       ECD
	Snapshots Snapshotter
	Saver     Saver
	Notifier  Notifier
	Census    Census
}

// accounts know the services of each account.
type accounts struct {
	own    Services
	member func(fleet.Account) Services // nil: none
	fleets fleet.Fleets
}

// of returns the services of an account. Nothing is asked for in one that is neither
// the function's own nor declared: an account that is taken out of fleets.yaml while
// something is under way in it.
func (a *accounts) of(id string) (Services, error) {
	if id == "" {
		return a.own, nil
	}
	if declared, ok := a.fleets.Account(id); ok && a.member != nil {
		return a.member(declared), nil
	}
	return Services{}, &desktop.CallError{Call: callAssume, Delivery: desktop.Forbidden,
		Message: fmt.Sprintf("no account of fleets.yaml has the id %s", id)}
}

// callAssume is the call by which the credentials of another account are had.
const callAssume = "AssumeRole"

// inAccount has every line name the account, if it is not the function's own.
func inAccount(log *slog.Logger, id string) *slog.Logger {
	if id == "" {
		return log
	}
	return log.With("account_id", id)
}
