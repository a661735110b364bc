package pace

import "testing"

func TestAnEndpointIsAHostOrTheURLOfOne(t *testing.T) {
	for given, want := range map[string]string{
		"host.example": "https://host.example", "host.example:8443": "https://host.example:8443", "https://host.example/": "https://host.example",
		"http://127.0.0.1:8080": "http://127.0.0.1:8080", "http://localhost": "http://localhost", "http://[::1]:1": "http://[::1]:1",
		"http://host.example": "", "http://10.0.0.1": "", "ftp://host.example": "", "https://u:p@host.example": "", "host.example/path": "",
		"https://host.example?a=b": "", "https://host.example#a": "", "https://:443": "", "exa mple": "", "": "", "http://[::1%25lo]:1": "",
	} {
		got, err := ParseEndpoint(given)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("%q: got %v, %v, want %q", given, got, err, want)
		}
	}
}
