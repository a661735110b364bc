package main

import (
	"archive/zip"
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSameFilesGiveTheSameBytesAndKeepTheExecuteBit(t *testing.T) {
	dir := t.TempDir()
	binary, settings := filepath.Join(dir, "main"), filepath.Join(dir, "fleets.yaml")
	write(t, binary, "\x7fELF", 0o755)
	write(t, settings, "fleets: []\n", 0o640)

	first, second := filepath.Join(dir, "first.zip"), filepath.Join(dir, "second.zip")
	if err := pack(first, []string{binary, settings}); err != nil {
		t.Fatal(err)
	}
	later := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	if err := os.Chtimes(binary, later, later); err != nil {
		t.Fatal(err)
	}
	if err := pack(second, []string{binary, settings}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, first), read(t, second)) {
		t.Error("the archive changed although only a file's time did")
	}

	archive, err := zip.OpenReader(first)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = archive.Close() }()
	want := map[string]os.FileMode{"main": 0o755, "fleets.yaml": 0o644}
	if len(archive.File) != len(want) {
		t.Fatalf("got %d entries, want %d", len(archive.File), len(want))
	}
	for _, f := range archive.File {
		if got := f.Mode(); got != want[f.Name] {
			t.Errorf("%s: got mode %v, want %v", f.Name, got, want[f.Name])
		}
	}
}

func TestAMissingFileIsNamed(t *testing.T) {
	err := pack(filepath.Join(t.TempDir(), "out.zip"), []string{"no-such-file"})
	if err == nil || !bytes.Contains([]byte(err.Error()), []byte("adding no-such-file")) {
		t.Errorf("got %v, want an error that names the file", err)
	}
}

func write(t *testing.T, name, content string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
