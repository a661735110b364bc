package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

// completeLimit bounds how long a shell waits for a completion, and
// completeMost how many it is offered.
const (
	completeLimit = 3 * time.Second
	completeMost  = 200
)

// offering completes what has been begun of an argument, or of a flag's value, by a list.
// Files are none of it.
func offering(list func(args []string) []string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		fit := slices.DeleteFunc(list(args), func(x string) bool { return !strings.HasPrefix(x, begun) || escape.Terminal(x) != x })
		return fit[:min(len(fit), completeMost)], cobra.ShellCompDirectiveNoFileComp
	}
}

// completeOperations completes the one argument of a command: an operation of the journal,
// named rollout/ID or request/ID, or by its id alone where the command knows one
// kind only.
func (s *settings) completeOperations(kinds ...string) cobra.CompletionFunc {
	return offering(func(args []string) (out []string) {
		given, names := journalAndName(args)
		if len(names) > 0 {
			return nil
		}
		for _, n := range s.namesOf(given, kinds...) {
			if len(kinds) == 1 {
				out = append(out, n.id)
				continue
			}
			out = append(out, n.String())
		}
		return out
	})
}

// namesOf returns the operations of some kinds, by their keys alone.
func (s *settings) namesOf(given string, kinds ...string) (out []name) {
	at, err := s.open(given)
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeLimit)
	defer cancel()
	for _, kind := range kinds {
		keys, _ := at.store.Keys(ctx, kind+"/") // whoever completes is not told of an error
		for _, key := range keys {
			if _, id, ok := journal.SplitKey(key); ok {
				out = append(out, name{kind, id})
			}
		}
	}
	return out
}

// completeFleets completes a fleet's name: those of fleets.yaml, or else those
// that the journal knows.
func (s *settings) completeFleets([]string) (out []string) {
	conf, err := s.load()
	if err != nil {
		return nil
	}
	if fleets, err := readFleets(cmp.Or(conf.Fleets, defaultFleets)); err == nil {
		for _, f := range fleets {
			out = append(out, f.Name)
		}
		return out
	}
	for _, n := range s.namesOf("", operator.Rollout) {
		if _, fleet, ok := rollout.SplitID(n.id); ok && !slices.Contains(out, fleet) {
			out = append(out, fleet)
		}
	}
	return out
}

// defaultFleets is where fleets.yaml is looked for.
const defaultFleets = "fleets.yaml"
