package pace

import (
	"strings"
	"testing"
)

func TestAnEndpointIsAHostOrTheURLOfOne(t *testing.T) {
	for given, want := range map[string]string{
		"host.example": "https://host.example", "host.example:8443": "https://host.example:8443", "https://host.example/": "https://host.example",
		"http://127.0.0.1:8080": "http://127.0.0.1:8080", "http://localhost": "http://localhost", "http://[::1]:1": "http://[::1]:1",
		"http://host.example": "", "http://10.0.0.1": "", "ftp://host.example": "", "https://u:p@host.example": "", "host.example/path": "",
		"https://host.example?a=b": "", "https://host.example#a": "", "https://:443": "", "exa mple": "", "": "", "http://[::1%25lo]:1": "", "https://[fe80::1%25lo]:1": "",
	} {
		got, err := ParseEndpoint(given)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%q: got %v, %v, want %q", given, got, err, want)
		}
	}
}

// A password may stand in what somebody took for an endpoint.
func TestAnEndpointThatNamesAUserIsNotTold(t *testing.T) {
	for given, told := range map[string]bool{"https://u:p4ss@host.example": false, "u:p4ss@host.example/p": false, "host.example/p4ss": true} {
		if _, err := ParseEndpoint(given); err == nil || strings.Contains(err.Error(), "p4ss") != told || strings.Contains(err.Error(), "user") == told {
			t.Errorf("%q: got %v", given, err)
		}
	}
}
