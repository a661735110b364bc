package control

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"slices"
	"strings"
)

// logService answers Log Service's API. The project is the first part of the
// host. Source of codes: the pages on GetProject and GetIndex.
func (s *Server) logService(r *http.Request) (map[string]any, *refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if refused := s.refuseLog(r); refused != nil {
		return nil, refused
	}
	name, _, _ := strings.Cut(r.Host, ".")
	project := s.state.Projects[name]
	switch {
	case s.state.Taken[name]:
		return nil, no(http.StatusForbidden, "Unauthorized", "The project is not of this account.")
	case project == nil:
		return nil, no(http.StatusNotFound, "ProjectNotExist", "The Project does not exist: "+name)
	case r.URL.Path == "/":
		return map[string]any{"projectName": name, "status": "Normal", "region": s.region}, nil
	case r.URL.Path == "/jobs":
		return jobsAnswer(project.Alerts, r.URL.Query().Get("jobType")), nil
	}
	store := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/logstores/"), "/index")
	index, ok := project.Logstores[store]
	switch {
	case !ok:
		return nil, no(http.StatusNotFound, "LogStoreNotExist", "logstore "+store+" does not exist")
	case index == nil:
		return nil, no(http.StatusNotFound, "IndexConfigNotExist", "index config doesn't exist")
	}
	return indexAnswer(index), nil
}

// refuseLog says why the keys of a request do not allow it, or nil.
func (s *Server) refuseLog(r *http.Request) *refusal {
	id, signature, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "LOG "), ":")
	i := slices.IndexFunc(s.keys, func(k Keys) bool { return k.ID == id })
	action := "log:" + operationOf(r)
	switch {
	case i < 0:
		return no(http.StatusUnauthorized, "Unauthorized", "The AccessKeyId is not found.")
	case s.keys[i].Token != r.Header.Get("x-acs-security-token"):
		return no(http.StatusUnauthorized, "Unauthorized", "The security token is not valid.")
	case subtle.ConstantTimeCompare([]byte(signature), []byte(logSignature(r, s.keys[i].Secret))) != 1:
		return no(http.StatusForbidden, "SignatureNotMatch", "Signature does not match.")
	case s.state.Denied[action]:
		return no(http.StatusForbidden, "Unauthorized", "denied by sts or ram, action: "+action)
	}
	return nil
}

// jobsAnswer lists alerts, of which it is known whether each is on, as jobs of a type.
func jobsAnswer(alerts map[string]bool, kind string) map[string]any {
	list := []any{}
	for _, alert := range sortedKeys(alerts) {
		status, state := "ENABLED", "Enabled"
		if !alerts[alert] {
			status, state = "DISABLED", "Disabled"
		}
		list = append(list, map[string]any{"name": alert, "type": kind, "state": state, "status": status})
	}
	return map[string]any{"total": len(list), "count": len(list), "results": list}
}

// logSignature signs a request without a body as Log Service does. Source:
// "Request signatures", V1.
func logSignature(r *http.Request, secret string) string {
	var headers []string
	for name, values := range r.Header {
		if name = strings.ToLower(name); strings.HasPrefix(name, "x-log-") || strings.HasPrefix(name, "x-acs-") {
			headers = append(headers, name+":"+values[0])
		}
	}
	slices.Sort(headers)
	resource := r.URL.Path
	for i, name := range sortedKeys(r.URL.Query()) {
		resource += map[bool]string{true: "?", false: "&"}[i == 0] + name + "=" + r.URL.Query().Get(name)
	}
	mac := hmac.New(sha1.New, []byte(secret))
	_, _ = mac.Write([]byte(strings.Join([]string{r.Method, "", "", r.Header.Get("Date"), strings.Join(headers, "\n"), resource}, "\n")))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// indexAnswer is GetIndex of an index that was made from ROS's properties.
func indexAnswer(p map[string]any) map[string]any {
	out := map[string]any{}
	if full, ok := p["FullTextIndex"].(map[string]any); ok && full["Enable"] == true {
		out["line"] = map[string]any{"caseSensitive": false}
	}
	keys := map[string]any{}
	list, _ := p["KeyIndices"].([]any)
	for _, element := range list {
		k, _ := element.(map[string]any)
		name, _ := k["Name"].(string)
		key := map[string]any{"type": k["Type"]}
		inner := map[string]any{}
		sub, _ := k["JsonKeyIndices"].([]any)
		for _, element := range sub {
			j, _ := element.(map[string]any)
			path, _ := j["Name"].(string)
			inner[path] = map[string]any{"type": j["Type"], "doc_value": j["EnableAnalytics"] == true}
		}
		key["json_keys"] = inner
		keys[name] = key
	}
	out["keys"] = keys
	return out
}
