package acs

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/pace"
)

// An Index is how a logstore is indexed.
type Index struct {
	Line *struct{} // full text; nil without
	Keys map[string]struct {
		Type     string
		JSONKeys map[string]struct {
			Type     string `json:"type"`
			DocValue bool   `json:"doc_value"`
		} `json:"json_keys"`
	}
}

// LogProject says whether the project exists and is of this account. Source:
// GetProject of Log Service.
func (c *Client) LogProject(ctx context.Context, project string) (bool, error) {
	err := c.log(ctx, "GetProject", project, "/", "", nil)
	if Code(err) == "ProjectNotExist" {
		return false, nil
	}
	return err == nil, err
}

// LogIndex returns the index of a logstore, and whether it has one. Source:
// GetIndex of Log Service.
func (c *Client) LogIndex(ctx context.Context, project, logstore string) (Index, bool, error) {
	var v Index
	err := c.log(ctx, "GetIndex", project, "/logstores/"+url.PathEscape(logstore)+"/index", "", &v)
	if Code(err) == "IndexConfigNotExist" {
		return v, false, nil
	}
	return v, err == nil, err
}

// maxAlerts bounds how many alerts are read; a project has some ten of ours.
const maxAlerts = 200

// LogAlerts returns the names of a project's alerts, and whether each is on.
// Source: ListJobs of Log Service, with the type Alert.
func (c *Client) LogAlerts(ctx context.Context, project string) (map[string]bool, error) {
	var v struct {
		Results []struct{ Name, State, Status string }
	}
	query := "jobType=Alert&offset=0&size=" + strconv.Itoa(maxAlerts) // sorted, as it is signed
	if err := c.log(ctx, "ListJobs", project, "/jobs", query, &v); err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, a := range v.Results {
		out[a.Name] = !strings.EqualFold(a.State, "Disabled") && !strings.EqualFold(a.Status, "DISABLED")
	}
	return out, nil
}

// log is a GET of Log Service, which has a host for each project and a
// signature of its own. Its SDK would be a large dependency for three calls.
// Source: "Request signatures" of the Log Service API reference, signature V1.
// query is sorted by name and needs no escapes.
func (c *Client) log(ctx context.Context, action, project, path, query string, out any) error {
	return c.reads.Do(ctx, action, c.region, func(ctx context.Context) (string, error) {
		keys, err := pace.Keys(ctx, action, c.keys)
		if err != nil {
			return "", err
		}
		host := project + "." + c.region + ".log.aliyuncs.com"
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.ToLower(c.protocol)+"://"+cmp.Or(c.host, host)+path, nil)
		if err != nil {
			return "", pace.SendFault(action, keys, err)
		}
		req.URL.RawQuery = query
		if c.host != "" {
			req.Host = project + "." + c.host // a stand-in reads the project from here
		}
		signLog(req, keys, time.Now())
		answer, err := c.wire.Send(req)
		if err != nil {
			return "", pace.SendFault(action, keys, err)
		}
		if out == nil && answer.Status == http.StatusOK {
			out = &struct{}{}
		}
		return judge(action, keys, answer, out)
	})
}

// signLog signs a request without a body.
func signLog(r *http.Request, keys credentials.Keys, now time.Time) {
	r.Header.Set("Date", now.UTC().Format(http.TimeFormat))
	r.Header.Set("x-log-apiversion", "0.6.0")
	r.Header.Set("x-log-bodyrawsize", "0")
	r.Header.Set("x-log-signaturemethod", "hmac-sha1")
	signed := "x-log-apiversion:0.6.0\nx-log-bodyrawsize:0\nx-log-signaturemethod:hmac-sha1\n"
	if keys.Token != "" {
		r.Header.Set("x-acs-security-token", keys.Token)
		signed = "x-acs-security-token:" + keys.Token + "\n" + signed
	}
	resource := r.URL.Path
	if r.URL.RawQuery != "" {
		resource += "?" + r.URL.RawQuery
	}
	mac := hmac.New(sha1.New, []byte(keys.Secret))
	_, _ = mac.Write([]byte(r.Method + "\n\n\n" + r.Header.Get("Date") + "\n" + signed + resource))
	r.Header.Set("Authorization", "LOG "+keys.ID+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
