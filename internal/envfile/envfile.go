// Package envfile reads and writes regild.env: the names that `regild setup` gave
// to what it made, for s.yaml, `make deploy` and the operator's commands.
//
// The file has one NAME=value a line, comments that begin with #, and nothing
// else: no quotes, no spaces, no variables. So a shell, make and Docker read it
// alike. It holds no secret.
package envfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// Default is where the file stands.
const Default = "regild.env"

// maxSize bounds the file, in bytes.
const maxSize = 64 << 10

var (
	nameForm  = regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`)
	valueForm = regexp.MustCompile(`^[A-Za-z0-9._:/,@=+-]*$`)
)

// Parse reads the lines of a file. The error names every fault with its line.
// name is what the faults call the file.
func Parse(name string, data []byte) (map[string]string, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("%s: has %d bytes; %d are the most", name, len(data), maxSize)
	}
	out := map[string]string{}
	var faults []error
	for i, line := range strings.Split(string(data), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		_, twice := out[key]
		switch {
		case !ok || !nameForm.MatchString(key):
			faults = append(faults, fmt.Errorf("%s:%d: is not NAME=value", name, i+1))
		case !valueForm.MatchString(value):
			faults = append(faults, fmt.Errorf("%s:%d: the value of %s has characters beyond letters, digits and ._:/,@=+-", name, i+1, key))
		case twice:
			faults = append(faults, fmt.Errorf("%s:%d: %s stands there twice", name, i+1, key))
		}
		out[key] = value
	}
	return out, errors.Join(faults...)
}

// Read reads a file. One that does not exist is empty.
func Read(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return Parse(path, data)
}

// A Line is one of a file: a variable, or with an empty Name a comment.
type Line struct{ Name, Value, Comment string }

// Format returns the text of a file, which Parse reads back.
func Format(lines []Line) []byte {
	var b bytes.Buffer
	for _, l := range lines {
		if l.Comment != "" {
			b.WriteString("# " + l.Comment + "\n")
		}
		if l.Name != "" {
			b.WriteString(l.Name + "=" + l.Value + "\n")
		}
	}
	return b.Bytes()
}

// Over returns a lookup that finds a variable in the environment first, and then
// in the file. An empty value counts as not set.
func Over(file map[string]string, lookup func(string) (string, bool)) func(string) (string, bool) {
	return func(name string) (string, bool) {
		if v, ok := lookup(name); ok && v != "" {
			return v, true
		}
		v, ok := file[name]
		return v, ok
	}
}
