package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/page"
	model "github.com/regild/regild/internal/report" // report is the command
)

// options says how pages are drawn, in the time zone of the settings.
func pageOptions(w world, lang string, zone *time.Location) (page.Options, error) {
	l, err := page.ParseLang(lang)
	if err != nil {
		return page.Options{}, usageError{fmt.Errorf("--lang: %w", err)}
	}
	info, _ := debug.ReadBuildInfo()
	return page.Options{Lang: l, Zone: zone, Now: w.clock()(), Version: version(info)}, nil
}

// langFlag defines the flag of every page.
func langFlag(c *cobra.Command, lang *string) {
	c.Flags().StringVar(lang, "lang", "en", "write pages in this `language`: en or zh")
	_ = c.RegisterFlagCompletionFunc("lang", cobra.FixedCompletions([]string{"en", "zh"}, cobra.ShellCompDirectiveNoFileComp))
}

// htmlFlags are those of regild report --html.
type htmlFlags struct {
	on               bool
	lang, file, plan string
}

func (f *htmlFlags) define(c *cobra.Command) {
	fs := c.Flags()
	fs.BoolVar(&f.on, "html", false, "write a page for a browser, in one file")
	langFlag(c, &f.lang)
	fs.StringVar(&f.file, "file", "", "write the page into this `file` instead of standard output")
	fs.StringVar(&f.plan, "plan", "", "hold what happened against the plan in this `file`: a plan as JSON, or the regild.rollout.plan.v1 events of a dry run")
}

// write makes the page of a journal's lines.
func (f *htmlFlags) write(ctx context.Context, w world, at installation, kind, id string) error {
	o, err := pageOptions(w, f.lang, at.zone)
	if err != nil {
		return err
	}
	lines, _, err := at.store.Read(ctx, journal.Key(kind, id), 0)
	if err != nil {
		return err
	}
	if file, ok := w.out.(*os.File); ok && f.file == "" {
		if isTerminal(file) {
			return usageError{errors.New("a page is not for a terminal; give --file report.html")}
		}
	}
	r, err := model.Of(lines)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(lines)
	extras := page.Extras{Source: page.Source{Key: journal.Key(kind, id), Bytes: len(lines), SHA256: hex.EncodeToString(sum[:])}}
	if f.plan != "" {
		c, err := compare(r, f.plan)
		if err != nil {
			return err
		}
		extras.Comparison = &c
	}
	var b bytes.Buffer
	if err := page.Report(&b, r, extras, o); err != nil {
		return err
	}
	if f.file == "" {
		_, err = io.Copy(w.out, &b)
		return err
	}
	if err := os.WriteFile(f.file, b.Bytes(), 0o644); err != nil { // a report is there to be handed on
		return err
	}
	say(w.err, "wrote %s: open it in a browser\n", escape.Terminal(f.file))
	return nil
}

// compare holds a report against a plan in a file.
func compare(r *model.Report, path string) (model.Comparison, error) {
	file, err := os.Open(path)
	if err != nil {
		return model.Comparison{}, fmt.Errorf("reading the plan: %w", err)
	}
	defer func() { _ = file.Close() }()
	p, err := model.ReadPlan(file)
	if err != nil {
		return model.Comparison{}, err
	}
	return r.Compare(p), nil
}
