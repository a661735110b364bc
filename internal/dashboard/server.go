package dashboard

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/internal/page"
)

// policy is the content security policy of every page.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'"

// Handler returns the doors of the dashboard. Pages that it serves show what
// Look has found.
func (d *Dashboard) Handler() http.Handler {
	open := http.NewServeMux()
	open.HandleFunc("GET /assets/page.css", d.asset("text/css; charset=utf-8", page.CSS))
	open.HandleFunc("GET /assets/page.js", d.asset("text/javascript; charset=utf-8", page.JS))
	open.HandleFunc("GET /login", d.askToken)
	open.HandleFunc("POST /login", d.login)

	inside := http.NewServeMux()
	inside.HandleFunc("GET /{$}", d.showBoard)
	inside.HandleFunc("GET /report", d.showReport)
	inside.HandleFunc("GET /events", d.listen)
	inside.HandleFunc("GET /control", d.ask)
	inside.HandleFunc("POST /control", d.control)
	inside.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		d.problem(w, r, http.StatusNotFound, "There is no page at this address. Go back to the first page.")
	})
	open.Handle("/", d.signedIn(inside))

	foreign := http.NewCrossOriginProtection()
	foreign.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.problem(w, r, http.StatusForbidden, "This was asked for by a page of another site. Ask from the dashboard itself.")
	}))
	return d.guarded(foreign.Handler(open))
}

// guarded puts what every answer needs on it, and turns away who comes by a
// name that is not ours.
func (d *Dashboard) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store")
		if d.loopback && !loopbackHost(r.Host) {
			d.problem(w, r, http.StatusMisdirectedRequest, "This dashboard answers to localhost, 127.0.0.1 and [::1] only.")
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		next.ServeHTTP(w, r)
	})
}

// loopbackHost says whether a Host header names this machine.
func loopbackHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = strings.Trim(host, "[]")
	}
	if strings.EqualFold(name, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && ip.IsLoopback()
}

// sessionLimit is how long somebody stays signed in: a working day.
const sessionLimit = 12 * time.Hour

// maxSessions bounds how many are signed in at once.
const maxSessions = 1000

const cookieName = "regild_dashboard"

// sessions knows who has shown the token. It may be used from several
// goroutines.
type sessions struct {
	mu    *sync.Mutex
	until map[[sha256.Size]byte]time.Time // by the hash of the cookie
}

func newSessions() sessions {
	return sessions{mu: &sync.Mutex{}, until: map[[sha256.Size]byte]time.Time{}}
}

// begin returns the cookie's value of a new session.
func (s sessions) begin(now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, until := range s.until {
		if now.After(until) || len(s.until) >= maxSessions {
			delete(s.until, k)
		}
	}
	value := rand.Text()
	s.until[sha256.Sum256([]byte(value))] = now.Add(sessionLimit)
	return value
}

func (s sessions) has(value string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	until, ok := s.until[sha256.Sum256([]byte(value))]
	return ok && now.Before(until)
}

// isToken compares in constant time.
func (d *Dashboard) isToken(s string) bool {
	a, b := sha256.Sum256([]byte(s)), sha256.Sum256([]byte(d.Token))
	return d.Token != "" && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// signedIn lets those through who have shown the token, in a cookie or as a
// bearer, and asks all others for it.
func (d *Dashboard) signedIn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.Token == "" || d.known(r) {
			next.ServeHTTP(w, r)
			return
		}
		to := "/"
		if r.Method == http.MethodGet {
			to = r.URL.RequestURI()
		}
		d.write(w, http.StatusUnauthorized, func(o page.Options, b io.Writer) error { return page.WriteLogin(b, page.Login{Next: inHouse(to)}, o) })
	})
}

func (d *Dashboard) known(r *http.Request) bool {
	if c, err := r.Cookie(cookieName); err == nil && d.sessions.has(c.Value, d.Now()) {
		return true
	}
	bearer, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	return ok && d.isToken(bearer)
}

// inHouse returns a path of this server, whatever it is given.
func inHouse(path string) string {
	u, err := url.Parse(path)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, "/") || strings.HasPrefix(path, "//") || strings.Contains(path, `\`) ||
		u.Path == "/events" || u.Path == "/login" {
		return "/"
	}
	return u.RequestURI()
}

func (d *Dashboard) askToken(w http.ResponseWriter, r *http.Request) {
	if d.Token == "" || d.known(r) {
		http.Redirect(w, r, "/", http.StatusSeeOther)
		return
	}
	d.write(w, http.StatusOK, func(o page.Options, b io.Writer) error { return page.WriteLogin(b, page.Login{Next: "/"}, o) })
}

func (d *Dashboard) login(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		d.problem(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	next := inHouse(r.PostForm.Get("next"))
	if !d.isToken(r.PostForm.Get("token")) {
		d.write(w, http.StatusUnauthorized, func(o page.Options, b io.Writer) error {
			return page.WriteLogin(b, page.Login{Next: next, Wrong: true}, o)
		})
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: d.sessions.begin(d.Now()), Path: "/", HttpOnly: true, Secure: r.TLS != nil,
		SameSite: http.SameSiteLaxMode, MaxAge: int(sessionLimit / time.Second)})
	http.Redirect(w, r, next, http.StatusSeeOther)
}
