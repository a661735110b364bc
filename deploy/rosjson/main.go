// Command rosjson prints deploy/ros.yaml as JSON, for ros.js, which reads no YAML.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/deploy"
)

func main() {
	var template map[string]any
	err := yaml.Unmarshal([]byte(deploy.Template), &template)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(template)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rosjson:", err)
		os.Exit(1)
	}
}
