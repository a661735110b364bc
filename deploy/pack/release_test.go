package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// `make release` names its folder here. Without it the check itself is tested, on a
// small program.
func TestAReleaseIsWhatItsSBOMAndItsChecksumsSay(t *testing.T) {
	if dir := os.Getenv("REGILD_RELEASE"); dir != "" {
		if err := checkRelease(dir); err != nil {
			t.Error(err)
		}
		return
	}
	t.Log("make release runs this on the release")
}

func TestTheCheckOfAReleaseFindsWhatIsWrong(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "main")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/regild/regild/deploy/rosjson").CombinedOutput(); err != nil {
		t.Fatalf("building a small program: %v\n%s", err, out)
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, dir string)
		want  string
	}{
		"nothing": {func(*testing.T, string) {}, ""},
		"another zip": {func(t *testing.T, dir string) {
			appendTo(t, filepath.Join(dir, "regild.zip"), "x")
		}, "regild.zip is not what SHA256SUMS says"},
		"no checksum of the SBOM": {func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "SHA256SUMS"), sum(t, dir, "regild.zip"), 0o600)
		}, "SHA256SUMS does not name regild.cdx.json"},
		"a module that the SBOM leaves out": {func(t *testing.T, dir string) {
			replace(t, filepath.Join(dir, "regild.cdx.json"), "go.yaml.in/yaml/v4", "example.com/other")
		}, "the SBOM leaves out go.yaml.in/yaml/v4"},
		"the SBOM of another build": {func(t *testing.T, dir string) {
			replace(t, filepath.Join(dir, "regild.cdx.json"), "cdx:gomod:binary:hash:SHA-256", "other")
		}, "the SBOM is of another binary"},
		"no SBOM": {func(t *testing.T, dir string) {
			replace(t, filepath.Join(dir, "regild.cdx.json"), "CycloneDX", "other")
		}, "is no CycloneDX"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := smallRelease(t, binary)
			c.spoil(t, dir)
			err := checkRelease(dir)
			if got := fmt.Sprint(err); c.want == "" && err != nil || !strings.Contains(got, c.want) {
				t.Errorf("got %v, want %q in it", err, c.want)
			}
		})
	}
}

// checkRelease says what is wrong with the release in a folder: whether the
// checksums are those of the files, and the SBOM that of the binary in the zip.
func checkRelease(dir string) error {
	var faults []error
	sums, err := os.ReadFile(filepath.Join(dir, "SHA256SUMS"))
	if err != nil {
		return err
	}
	for _, name := range []string{"regild.zip", "regild.cdx.json"} {
		m := regexp.MustCompile(`(?m)^([0-9a-f]{64})  ` + regexp.QuoteMeta(name) + `$`).FindSubmatch(sums)
		data, err := os.ReadFile(filepath.Join(dir, name))
		switch {
		case err != nil:
			return err
		case m == nil:
			faults = append(faults, fmt.Errorf("SHA256SUMS does not name %s", name))
		case string(m[1]) != digest(data):
			faults = append(faults, fmt.Errorf("%s is not what SHA256SUMS says", name))
		}
	}
	return errors.Join(append(faults, checkSBOM(dir))...)
}

// sbom is what is read of a CycloneDX document in JSON. Source: CycloneDX,
// "JSON reference, version 1.6".
type sbom struct {
	BOMFormat   string
	SpecVersion string
	Metadata    struct {
		Component  struct{ Name, Version string }
		Properties []struct{ Name, Value string }
	}
	Components []struct{ Name, Version, PURL string }
}

func checkSBOM(dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, "regild.cdx.json"))
	if err != nil {
		return err
	}
	var doc sbom
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("reading the SBOM: %w", err)
	}
	if doc.BOMFormat != "CycloneDX" || doc.SpecVersion == "" || doc.Metadata.Component.Name != "github.com/regild/regild" {
		return errors.New("regild.cdx.json is no CycloneDX SBOM of regild")
	}
	binary, err := packed(filepath.Join(dir, "regild.zip"), "main")
	if err != nil {
		return err
	}
	info, err := buildinfo.Read(bytes.NewReader(binary))
	if err != nil {
		return fmt.Errorf("reading the build of the binary: %w", err)
	}
	var faults []error
	same := false
	for _, p := range doc.Metadata.Properties {
		same = same || p.Name == "cdx:gomod:binary:hash:SHA-256" && p.Value == digest(binary)
	}
	if !same {
		faults = append(faults, errors.New("the SBOM is of another binary"))
	}
	has := map[string]bool{}
	for _, c := range doc.Components {
		has[c.Name+"@"+c.Version] = c.PURL != ""
	}
	for _, m := range info.Deps {
		if !has[m.Path+"@"+m.Version] {
			faults = append(faults, fmt.Errorf("the SBOM leaves out %s %s", m.Path, m.Version))
		}
	}
	if len(info.Deps) == 0 || !has["std@"+info.GoVersion] {
		faults = append(faults, errors.New("the SBOM leaves out everything, or Go itself"))
	}
	return errors.Join(faults...)
}

// packed returns a file of a zip, which pack closes cleanly: what follows its end
// is not looked at.
func packed(archive, name string) ([]byte, error) {
	z, err := zip.OpenReader(archive)
	if err != nil {
		return nil, fmt.Errorf("opening the zip: %w", err)
	}
	defer func() { _ = z.Close() }()
	f, err := z.Open(name)
	if err != nil {
		return nil, fmt.Errorf("opening the binary in the zip: %w", err)
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(f)
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// smallRelease makes a release of a program and an SBOM in the words of
// cyclonedx-gomod.
func smallRelease(t *testing.T, binary string) string {
	t.Helper()
	dir := t.TempDir()
	if err := pack(filepath.Join(dir, "regild.zip"), []string{binary}); err != nil {
		t.Fatal(err)
	}
	data := read(t, binary)
	info, err := buildinfo.Read(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	type component struct {
		Name    string `json:"name"`
		Version string `json:"version"`
		PURL    string `json:"purl"`
	}
	components := []component{{"std", info.GoVersion, "pkg:golang/std"}}
	for _, m := range info.Deps {
		components = append(components, component{m.Path, m.Version, "pkg:golang/" + m.Path})
	}
	doc, err := json.Marshal(map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "components": components,
		"metadata": map[string]any{
			"component":  map[string]string{"name": "github.com/regild/regild"},
			"properties": []map[string]string{{"name": "cdx:gomod:binary:hash:SHA-256", "value": digest(data)}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "regild.cdx.json"), string(doc), 0o600)
	write(t, filepath.Join(dir, "SHA256SUMS"), sum(t, dir, "regild.cdx.json")+sum(t, dir, "regild.zip"), 0o600)
	return dir
}

func sum(t *testing.T, dir, name string) string {
	t.Helper()
	return digest(read(t, filepath.Join(dir, name))) + "  " + name + "\n"
}

func appendTo(t *testing.T, path, text string) {
	t.Helper()
	write(t, path, string(read(t, path))+text, 0o600)
}

func replace(t *testing.T, path, old, with string) {
	t.Helper()
	text := string(read(t, path))
	if !strings.Contains(text, old) {
		t.Fatalf("%s does not hold %q", path, old)
	}
	write(t, path, strings.ReplaceAll(text, old, with), 0o600)
}
