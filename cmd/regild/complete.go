package main

import (
	"cmp"
	"context"
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

// completeOperations completes the one argument of a command: an operation of the journal,
// named rollout/ID or request/ID, or by its id alone where the command knows one
// kind only.
func (s *settings) completeOperations(kinds ...string) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		given, names := journalAndName(args)
		if len(names) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeLimit)
		defer cancel()
		store, _, _, err := s.open(given)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, kind := range kinds {
			for _, id := range idsOf(ctx, store, kind) {
				name := id
				if len(kinds) > 1 {
					name = kind + "/" + id
				}
				if strings.HasPrefix(name, begun) && escape.Terminal(name) == name && len(out) < completeMost {
					out = append(out, name)
				}
			}
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
}

// idsOf returns the ids of the operations of a kind, from their keys alone.
func idsOf(ctx context.Context, store journal.Store, kind string) []string {
	keys, err := store.Keys(ctx, kind+"/")
	if err != nil {
		return nil
	}
	var out []string
	for _, key := range keys {
		if _, id, ok := journal.SplitKey(key); ok {
			out = append(out, id)
		}
	}
	return out
}

// completeFleets completes a fleet's name: those of fleets.yaml, or else those
// that the journal knows.
func (s *settings) completeFleets(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	conf, err := s.load()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	if fleets, err := readFleets(cmp.Or(conf.Fleets, defaultFleets)); err == nil {
		var out []string
		for _, f := range fleets {
			out = append(out, f.Name)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	}
	store, _, _, err := s.open("")
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completeLimit)
	defer cancel()
	seen := map[string]bool{}
	var out []string
	for _, id := range idsOf(ctx, store, operator.Rollout) {
		if _, fleet, ok := rollout.SplitID(id); ok && !seen[fleet] {
			seen[fleet] = true
			out = append(out, fleet)
		}
	}
	return out, cobra.ShellCompDirectiveNoFileComp
}

// defaultFleets is where fleets.yaml is looked for.
const defaultFleets = "fleets.yaml"
