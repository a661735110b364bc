package main

import (
	"bufio"
	"context"
	"errors"
	"strings"

	"github.com/regild/regild/internal/escape"
)

// errDeclined says that somebody was asked and did not say yes.
var errDeclined = errors.New("nothing was sent")

// confirm shows what is about to be done and asks whether it should be. It asks
// on standard error, so that standard output holds the answer alone. Where
// nobody can be asked it refuses, unless yes says that it was asked before.
func confirm(ctx context.Context, w world, yes bool, about []string, question string) error {
	for _, l := range about {
		say(w.err, "%s\n", escape.Terminal(l))
	}
	if yes {
		return nil
	}
	if w.asks == nil || !w.asks() {
		return usageError{errors.New("there is no terminal to ask at; look at what stands above, and say --yes")}
	}
	say(w.err, "%s [y/N] ", escape.Terminal(question))
	answer := make(chan string, 1)
	go func() { // reading a terminal hears of no context
		line, _ := bufio.NewReader(w.in).ReadString('\n')
		answer <- line
	}()
	select {
	case <-ctx.Done():
		say(w.err, "\n")
		return errInterrupted
	case line := <-answer:
		switch strings.ToLower(strings.TrimSpace(line)) {
		case "y", "yes":
			return nil
		}
		return errDeclined
	}
}
