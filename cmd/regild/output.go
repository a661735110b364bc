package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/internal/escape"
)

// An output is the flag -o: how a command shows what it found. The schemas of
// what json and yaml show are in events/schema/operator.
type output string

// The forms of output.
const (
	outputTable output = "table"
	outputJSON  output = "json"
	outputYAML  output = "yaml"
)

var outputs = []string{string(outputTable), string(outputJSON), string(outputYAML)}

// Set is pflag.Value's.
func (o *output) Set(s string) error {
	switch output(s) {
	case outputTable, outputJSON, outputYAML:
		*o = output(s)
		return nil
	}
	return fmt.Errorf("write one of %s", strings.Join(outputs, ", "))
}

// String is pflag.Value's.
func (o *output) String() string { return string(*o) }

// Type is pflag.Value's.
func (o *output) Type() string { return "form" }

// define gives a command the flag.
func (o *output) define(c *cobra.Command) {
	*o = outputTable
	c.Flags().VarP(o, "output", "o", "show it as table, json or yaml")
	mustRegister(c, "output", cobra.FixedCompletions(outputs, cobra.ShellCompDirectiveNoFileComp))
}

// show writes a document in the form that is wanted: for people as lines, with
// nothing in it that a terminal would obey.
func (o *output) show(w world, doc any, lines func() []string) error {
	if *o == outputTable {
		for _, l := range lines() { // whatever was overlooked when the line was made
			say(w.out, "%s\n", escape.Terminal(strings.TrimRight(l, " ")))
		}
		return nil
	}
	data, err := document(doc)
	if err == nil && *o == outputYAML {
		data, err = inYAML(data)
	}
	if err != nil {
		return fmt.Errorf("writing %s: %w", *o, err)
	}
	_, err = w.out.Write(data)
	return err
}

// document writes JSON for people and programs.
func document(doc any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, err
	}
	return escape.JSON(b.Bytes()), nil
}

// inYAML writes a JSON document as YAML, with its fields in their order. JSON is
// YAML; what remains is the style.
func inYAML(data []byte) ([]byte, error) {
	var n yaml.Node
	if err := yaml.Unmarshal(data, &n); err != nil {
		return nil, err
	}
	blockStyle(&n)
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(&n); err != nil {
		return nil, err
	}
	if err := enc.Close(); err != nil {
		return nil, err
	}
	return escape.JSON(b.Bytes()), nil // within double quotes, YAML knows JSON's escapes
}

func blockStyle(n *yaml.Node) {
	switch {
	case n.Kind != yaml.ScalarNode:
		n.Style = 0
	case strings.ContainsFunc(n.Value, func(r rune) bool { return !unicode.IsPrint(r) }):
		n.Style = yaml.DoubleQuotedStyle
	case n.Tag == "!!str":
		n.Style = 0
	}
	for _, c := range n.Content {
		blockStyle(c)
	}
}
