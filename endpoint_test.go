package main_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/sts"
)

// The function runs without any loopback setting: it builds the names of the
// services by itself, or takes those of its settings, and speaks TLS to them. A
// proxy that it finds in HTTPS_PROXY takes it to the stand-ins, which check the
// signatures, and notes whom it wanted. So the names that are documented for the
// mainland, for the international site and for a VPC are tried as they are.
func TestTheFunctionFindsEachSitesEndpoints(t *testing.T) {
	const account, member = "1234567890123456", "2000000000000002"
	for name, c := range map[string]struct {
		region   string   // of the function
		desktops string   // where they are, if elsewhere
		member   bool     // the desktop is of another account
		env      []string // beside the defaults
		want     []string // hosts, sorted
	}{
		"mainland": {region: "cn-hangzhou", want: []string{
			account + ".mns.cn-hangzhou.aliyuncs.com", "ecd.cn-hangzhou.aliyuncs.com", "regild-journal.oss-cn-hangzhou-internal.aliyuncs.com",
		}},
		"international": {region: "ap-southeast-1", want: []string{
			account + ".mns.ap-southeast-1.aliyuncs.com", "ecd.ap-southeast-1.aliyuncs.com", "regild-journal.oss-ap-southeast-1-internal.aliyuncs.com",
		}},
		"desktops elsewhere": {region: "cn-hangzhou", desktops: "ap-southeast-1", want: []string{
			account + ".mns.cn-hangzhou.aliyuncs.com", "ecd.ap-southeast-1.aliyuncs.com", "regild-journal.oss-cn-hangzhou-internal.aliyuncs.com",
		}},
		"another account": {region: "cn-shenzhen", member: true, want: []string{
			account + ".mns.cn-shenzhen.aliyuncs.com", "ecd.cn-shenzhen.aliyuncs.com", "regild-journal.oss-cn-shenzhen-internal.aliyuncs.com",
			"sts.cn-shenzhen.aliyuncs.com",
		}},
		"another account, within a VPC": {region: "cn-beijing", member: true, env: []string{
			"REGILD_ECD_ENDPOINT=ecd-vpc.cn-beijing.aliyuncs.com", "REGILD_MNS_ENDPOINT=" + account + ".mns.cn-beijing-internal.aliyuncs.com",
			"REGILD_STS_ENDPOINT=sts-vpc.cn-beijing.aliyuncs.com",
		}, want: []string{
			account + ".mns.cn-beijing-internal.aliyuncs.com", "ecd-vpc.cn-beijing.aliyuncs.com", "regild-journal.oss-cn-beijing-internal.aliyuncs.com",
			"sts-vpc.cn-beijing.aliyuncs.com",
		}},
		"within a VPC": {region: "me-east-1", env: []string{
			"REGILD_ECD_ENDPOINT=ecd-vpc.me-east-1.aliyuncs.com", "REGILD_MNS_ENDPOINT=" + account + ".mns.me-east-1-internal.aliyuncs.com",
		}, want: []string{
			account + ".mns.me-east-1-internal.aliyuncs.com", "ecd-vpc.me-east-1.aliyuncs.com", "regild-journal.oss-me-east-1-internal.aliyuncs.com",
		}},
		"within a VPC, desktops elsewhere": {region: "cn-hangzhou", desktops: "cn-shanghai", env: []string{
			"REGILD_ECD_ENDPOINT=cn-hangzhou=ecd.vpc-proxy.aliyuncs.com, cn-shanghai=ecd-intl.vpc-proxy.aliyuncs.com",
			"REGILD_MNS_ENDPOINT=https://" + account + ".mns.cn-hangzhou-internal.aliyuncs.com",
		}, want: []string{
			account + ".mns.cn-hangzhou-internal.aliyuncs.com", "ecd-intl.vpc-proxy.aliyuncs.com", "regild-journal.oss-cn-hangzhou-internal.aliyuncs.com",
		}},
		"the bucket's public endpoint": {region: "eu-central-1", env: []string{"REGILD_OSS_ENDPOINT=oss-eu-central-1.aliyuncs.com"}, want: []string{
			account + ".mns.eu-central-1.aliyuncs.com", "ecd.eu-central-1.aliyuncs.com", "regild-journal.oss-eu-central-1.aliyuncs.com",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.desktops == "" {
				c.desktops = c.region
			}
			to := newSwitchboard(t)
			state := localcloud.State{State: ecd.State{
				Images: []ecd.Image{
					{ID: "m-old", RegionID: c.desktops, Name: "office", Created: time.Now().Add(-48 * time.Hour)},
					{ID: "m-new", RegionID: c.desktops, Name: "office", Created: time.Now().Add(-24 * time.Hour)},
				},
				Desktops: []ecd.Desktop{{ID: "ecd-pc01", RegionID: c.desktops, ImageID: "m-old"}},
			}}
			wish := map[string]any{"requestId": "r1", "regionId": c.desktops, "desktopIds": []string{"ecd-pc01"}, "imageId": "m-new"}
			if c.member {
				wish["accountId"] = member
				state.Accounts = []localcloud.Account{{ID: member, Roles: []sts.Role{{Name: "regild-member"}}, State: state.State}}
				c.env = append(c.env, "REGILD_FLEETS="+memberFleets(t, member, c.desktops))
			}
			cloud, err := localcloud.Start(t.Context(), localcloud.Options{
				State: state,
				Function: fc.Function{Path: function, AccountID: account, Region: c.region, Env: append([]string{
					"HTTPS_PROXY=" + to.url, "SSL_CERT_FILE=" + to.certificate, "REGILD_CLOCK=",
					"REGILD_ECD_ENDPOINT=", "REGILD_MNS_ENDPOINT=", "REGILD_OSS_ENDPOINT=", "REGILD_STS_ENDPOINT=",
					"REGILD_REGIONS=" + c.region + regionsBeside(c.region, c.desktops),
				}, c.env...)},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cloud.Close() })
			to.serve(t, cloud)

			request, err := json.Marshal(wish)
			if err != nil {
				t.Fatal(err)
			}
			result, err := cloud.FC.Invoke(t.Context(), request)
			if err == nil {
				err = result.Err()
			}
			if err != nil || !strings.Contains(string(result.Response), `"accepted":1`) {
				t.Errorf("the function answered %s, %v, want one desktop accepted; published %s", result.Response, err, cloud.MNS.Published(localcloud.ResultTopic))
			}
			if got := to.wanted(); !slices.Equal(got, c.want) {
				t.Errorf("hosts: got %v, want %v", got, c.want)
			}
		})
	}
}

// memberFleets writes a fleets.yaml with one fleet, of another account.
func memberFleets(t *testing.T, account, region string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "fleets.yaml")
	text := fmt.Sprintf("accounts: [{name: other, id: %q, role: regild-member, regions: [%s]}]\n"+
		"fleets: [{name: other, account: other, region: %[2]s, images: [office], select: all, requests: true}]\n", account, region)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func regionsBeside(own, other string) string {
	if own == other {
		return ""
	}
	return "," + other
}

// A switchboard is a proxy that answers for every host itself, with a certificate
// of its own, and passes what it is asked to the stand-in that the host's name
// stands for.
type switchboard struct {
	url, certificate string
	listener         net.Listener
	tls              *tls.Config

	mu    sync.Mutex
	hosts map[string]bool
}

func newSwitchboard(t *testing.T) *switchboard {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "switchboard"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	root, err := x509.CreateCertificate(rand.Reader, form, form, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "root.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root}), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &switchboard{url: "http://" + listener.Addr().String(), certificate: file, listener: listener, hosts: map[string]bool{}}
	s.tls = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		of := &x509.Certificate{
			SerialNumber: big.NewInt(2), DNSNames: []string{hello.ServerName},
			NotBefore: form.NotBefore, NotAfter: form.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		leaf, err := x509.CreateCertificate(rand.Reader, of, form, &key.PublicKey, key)
		return &tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}, err
	}}
	return s
}

// serve begins to take connections, for the services of cloud.
func (s *switchboard) serve(t *testing.T, cloud *localcloud.Cloud) {
	t.Helper()
	pass := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		to := cloud.ECDURL
		switch host := r.In.Host; {
		case strings.Contains(host, ".mns."):
			to = cloud.MNSURL
		case strings.Contains(host, ".oss-"):
			to = cloud.OSSURL
		case strings.HasPrefix(host, "sts"):
			to = cloud.ControlURL
		}
		if u, err := url.Parse(to); err == nil {
			r.Out.URL.Scheme, r.Out.URL.Host = u.Scheme, u.Host
		}
		r.Out.Host = r.In.Host // it is signed
	}}
	inside := make(chan net.Conn)
	server := &http.Server{Handler: pass, ReadHeaderTimeout: time.Minute}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(func() { cancel(); _ = server.Close() })
	go func() {
		_ = server.Serve(tls.NewListener(&channel{ctx: ctx, conns: inside, at: s.listener.Addr()}, s.tls))
	}()
	go func() {
		for {
			conn, err := s.listener.Accept()
			if err != nil {
				return
			}
			go s.connect(ctx, conn, inside)
		}
	}()
}

// connect answers one CONNECT and hands the connection on.
func (s *switchboard) connect(ctx context.Context, conn net.Conn, inside chan<- net.Conn) {
	in := bufio.NewReader(conn)
	r, err := http.ReadRequest(in)
	if err != nil || r.Method != http.MethodConnect {
		_ = conn.Close()
		return
	}
	host, _, _ := net.SplitHostPort(r.Host)
	s.mu.Lock()
	s.hosts[host] = true
	s.mu.Unlock()
	if _, err := io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		_ = conn.Close()
		return
	}
	select {
	case inside <- conn:
	case <-ctx.Done():
		_ = conn.Close()
	}
}

// wanted returns the hosts that connections were asked for, sorted.
func (s *switchboard) wanted() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for host := range s.hosts {
		out = append(out, host)
	}
	slices.Sort(out)
	return out
}

// channel is a net.Listener of connections that somebody else accepted.
type channel struct {
	ctx   context.Context
	conns <-chan net.Conn
	at    net.Addr
}

func (c *channel) Accept() (net.Conn, error) {
	select {
	case conn := <-c.conns:
		return conn, nil
	case <-c.ctx.Done():
		return nil, net.ErrClosed
	}
}

func (c *channel) Close() error   { return nil }
func (c *channel) Addr() net.Addr { return c.at }
