// Command pack writes the zip that Function Compute runs.
//
// The archive depends on the files' contents and names only: entries are in the order given, without directories, owners or
// their times. So the same sources give the same bytes on every machine, and Serverless Devs, which compares checksums, uploads only
// what has changed. The execute bit is kept, without which the runtime cannot start the binary.
package main

import (
	"archive/zip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// epoch is the earliest time that a zip can hold: one that is left out reads as day 0 of month 0, which some tools refuse.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

func main() {
	out := flag.String("o", "", "write the archive to this `file`")
	flag.Parse()
	if *out == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: pack -o file.zip file...")
		os.Exit(2)
	}
	if err := pack(*out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// pack writes the files, each under its last name, to a new archive at out.
func pack(out string, files []string) (err error) {
	f, err := os.Create(out)
	if err != nil {
		return fmt.Errorf("creating the archive: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()

	archive := zip.NewWriter(f)
	for _, name := range files {
		if err := add(archive, name); err != nil {
			return fmt.Errorf("adding %s: %w", name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("finishing the archive: %w", err)
	}
	return nil
}

// add copies one file. Only the owner's execute bit is taken over: the rest of the mode differs from one checkout to the next.
func add(archive *zip.Writer, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // only read from
	info, err := f.Stat()
	if err != nil {
		return err
	}

	header := &zip.FileHeader{Name: filepath.Base(name), Method: zip.Deflate, Modified: epoch}
	header.SetMode(0o644)
	if info.Mode()&0o100 != 0 {
		header.SetMode(0o755)
	}
	entry, err := archive.CreateHeader(header)
	if err != nil {
		return err
	}
	_, err = io.Copy(entry, f)
	return err
}
