// Command echo is a function for tests: it does what the event asks of it and
// tells what the platform told it.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/aliyun/fc-runtime-go-sdk/fccontext"
)

type event struct {
	Do  string `json:"do"`  // echo, fail, panic, hang, exit, log
	Say string `json:"say"` // what to echo or log
	// Tell is a URL that is asked before anything is done; what it answers does
	// not matter.
	Tell string `json:"tell"`
}

type report struct {
	Say         string                `json:"say"`
	PID         int                   `json:"pid"`
	Calls       int64                 `json:"calls"`
	Initialized int64                 `json:"initialized"`
	Env         []string              `json:"env"`
	Context     *fccontext.FcContext  `json:"context"`
	Keys        fccontext.Credentials `json:"keys"`
	DeadlineMS  int64                 `json:"deadlineMs"`
}

type refusalError struct{ say string }

func (e *refusalError) Error() string { return e.say }

var calls, initialized atomic.Int64

func main() {
	fc.RegisterInitializerFunction(func(ctx context.Context) {
		switch os.Getenv("INITIALIZER") {
		case "panic":
			panic(errors.New("initializer fails"))
		case "hang":
			select {}
		}
		initialized.Add(1)
		fmt.Println("initializer ran within", limit(ctx))
	})
	fc.RegisterPreStopFunction(func(ctx context.Context) {
		if os.Getenv("PRESTOP") == "hang" {
			select {}
		}
		fmt.Println("preStop ran within", limit(ctx))
	})
	fc.Start(handle)
}

// limit is the time that the platform says a call may take.
func limit(ctx context.Context) time.Duration {
	c, _ := fccontext.FromContext(ctx)
	return time.Duration(c.Function.Timeout) * time.Second
}

func handle(ctx context.Context, e event) (report, error) {
	calls.Add(1)
	if e.Tell != "" {
		answer, err := http.Get(e.Tell)
		if err != nil {
			return report{}, fmt.Errorf("telling: %w", err)
		}
		_ = answer.Body.Close()
	}
	switch e.Do {
	case "fail":
		return report{}, &refusalError{e.Say}
	case "panic":
		panic(e.Say)
	case "hang":
		select {}
	case "exit":
		os.Exit(7)
	case "log":
		fmt.Println(e.Say)
	}
	fcctx, _ := fccontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	return report{
		Say: e.Say, PID: os.Getpid(), Calls: calls.Load(), Initialized: initialized.Load(),
		Env: os.Environ(), Context: fcctx, Keys: fcctx.Credentials, DeadlineMS: deadline.UnixMilli(),
	}, nil
}
