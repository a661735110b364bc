package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/page"
	model "github.com/regild/regild/internal/report" // report is the command
)

// pageFlags are those of every page.
type pageFlags struct{ lang, zone string }

func (f *pageFlags) define(fs *flag.FlagSet) {
	fs.StringVar(&f.lang, "lang", "en", "write pages in this `language`: en or zh")
	fs.StringVar(&f.zone, "zone", "", "show times in this time `zone`, such as Asia/Shanghai; by default\nthis machine's")
}

// options reads the flags.
func (f *pageFlags) options() (page.Options, error) {
	lang, err := page.ParseLang(f.lang)
	if err != nil {
		return page.Options{}, usageError{fmt.Errorf("--lang: %w", err)}
	}
	zone := time.Local
	if f.zone != "" {
		if zone, err = time.LoadLocation(f.zone); err != nil {
			return page.Options{}, usageError{fmt.Errorf("--zone: the time zone %.40q is not known; write one such as Asia/Shanghai or UTC", f.zone)}
		}
	}
	info, _ := debug.ReadBuildInfo()
	return page.Options{Lang: lang, Zone: zone, Now: time.Now(), Version: version(info)}, nil
}

// htmlFlags are those of regild report --html.
type htmlFlags struct {
	pageFlags
	on         bool
	file, plan string
}

func (f *htmlFlags) define(fs *flag.FlagSet) {
	fs.BoolVar(&f.on, "html", false, "write a page for a browser, in one file")
	f.pageFlags.define(fs)
	fs.StringVar(&f.file, "file", "", "write the page into this `file` instead of standard output")
	fs.StringVar(&f.plan, "plan", "", "hold what happened against the plan in this `file`: a plan as JSON,\nor the regild.rollout.plan.v1 events of a dry run")
}

// write makes the page of a journal's lines.
func (f *htmlFlags) write(w world, kind, id string, lines []byte) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	if file, ok := w.out.(*os.File); ok && f.file == "" {
		if _, _, terminal := terminalSize(file); terminal {
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
	say(w.err, "wrote %s: open it in a browser\n", clean(f.file))
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
