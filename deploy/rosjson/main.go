// Command rosjson prints deploy/ros.yaml and deploy/ros-member.yaml as a list in
// JSON, for ros.js, which reads no YAML.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/deploy"
)

func main() {
	templates := make([]map[string]any, 2)
	err := yaml.Unmarshal([]byte(deploy.Template), &templates[0])
	if err == nil {
		err = yaml.Unmarshal([]byte(deploy.MemberTemplate), &templates[1])
	}
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(templates)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rosjson:", err)
		os.Exit(1)
	}
}
