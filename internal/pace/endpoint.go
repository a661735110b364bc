package pace

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// ParseEndpoint reads where a service is: a host, host:port, or the URL of one,
// without anything behind it. It returns scheme and host. http is taken for a
// loopback address only, since credentials travel with each call.
func ParseEndpoint(given string) (*url.URL, error) {
	full := given
	if !strings.Contains(given, "://") {
		full = "https://" + given
	}
	u, err := url.Parse(full)
	if err != nil || u.Hostname() == "" || strings.Contains(u.Host, "%") || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" ||
		u.Fragment != "" {
		if strings.Contains(given, "@") {
			return nil, errors.New("the endpoint names a user; write a host or the URL of one") // there may be a password behind the name
		}
		return nil, fmt.Errorf("endpoint %.100q is neither a host nor the URL of one", given)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, fmt.Errorf("endpoint %.100q is neither http nor https", given)
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		return nil, fmt.Errorf("endpoint %.100q would send credentials unencrypted; http is for loopback only", given)
	}
	return &url.URL{Scheme: u.Scheme, Host: u.Host}, nil
}

// Loopback says whether a host, without a port, is this machine.
func Loopback(host string) bool { return host == "localhost" || net.ParseIP(host).IsLoopback() }
