//go:build conformance

package conformance

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/oss"
)

// ossSDK is the module whose own integration tests judge the stand-in of OSS. They ship in it and are run from it, unchanged, against
// loopback; they would otherwise cost an account and money.
const ossSDK = "github.com/aliyun/alibabacloud-oss-go-sdk-v2"

// What a file of the SDK's tests says that the stand-in does is claimed, or there is a reason why not.
type claim struct {
	file    string
	claimed []string
	not     map[string]string // why a function is not claimed
}

// The files of which something is claimed, every function of them.
var claims = []claim{
	{
		file:    "client_integration_bucket_basic_test.go",
		claimed: []string{"TestPutBucket", "TestDeleteBucket", "TestListObjects", "TestListObjectsV2", "TestGetBucketInfo", "TestGetBucketLocation", "TestGetBucketStat"},
		not:     map[string]string{"TestListBuckets": "tags of buckets"},
	},
	{
		file:    "client_integration_bucket_acl_test.go",
		claimed: []string{"TestGetBucketAcl"},
		not:     map[string]string{"TestPutBucketAcl": "every bucket is private"},
	},
	{
		file:    "client_integration_bucket_versioning_test.go",
		claimed: []string{"TestPutBucketVersioning", "TestGetBucketVersioning", "TestListObjectVersions"},
	},
	{
		file:    "client_integration_bucket_worm_test.go",
		claimed: []string{"TestBucketWorm"},
		not: map[string]string{
			"TestBucketObjectWormConfiguration": "retention of single objects, which the service grants by invitation",
			"TestObjectWorm":                    "retention of single objects, which the service grants by invitation",
		},
	},
	{
		file: "client_integration_object_basic_test.go",
		claimed: []string{
			"TestGetObject", "TestAppendObject", "TestDeleteObject", "TestDeleteMultipleObjects", "TestHeadObject", "TestGetObjectMeta",
		},
		not: map[string]string{
			"TestPutObject":  "it wants a callback to a public web server to have failed",
			"TestCopyObject": "copies; appendable objects cannot be copied at all",
		},
	},
	{
		file:    "client_integration_object_restore_test.go",
		claimed: []string{"TestRestoreObjectLegacy", "TestRestoreObject", "TestCleanRestoredObject", "TestSealAppendObject"},
	},
	{
		file:    "client_integration_misc_test.go",
		claimed: []string{"TestInvokeOperation", "TestServiceError", "TestDefaultRequestHeaders"},
		not: map[string]string{
			"TestPaginator":               "multipart uploads",
			"TestAddressingModePathStyle": "it asks STS, and a bucket of the service, for credentials and path style",
			"TestRedundancyTransition":    "moving a bucket to another redundancy",
			"TestRegions":                 "the list of the service's regions",
		},
	},
}

// notClaimed are the files of which nothing is claimed.
var notClaimed = map[string]string{
	"access_point":                        "access points",
	"bucket_access_monitor":               "access tracking",
	"bucket_archive_direct_read":          "reading archived objects without a restore",
	"bucket_cors":                         "browsers",
	"bucket_encryption":                   "nothing is encrypted here",
	"bucket_https_config":                 "TLS, which loopback has none of",
	"bucket_inventory":                    "inventories",
	"bucket_lifecycle":                    "nothing expires by itself; a test removes what a rule would",
	"bucket_logging":                      "access logs",
	"bucket_metadata_table_configuration": "metadata tables",
	"bucket_overwrite_config":             "prohibiting overwrites by rule",
	"bucket_policy":                       "rights: a fault of the local cloud says AccessDenied",
	"bucket_quota":                        "quotas",
	"bucket_referer":                      "browsers",
	"bucket_replication":                  "one region is imitated",
	"bucket_request_payment":              "one account is imitated",
	"bucket_resource_group":               "resource groups",
	"bucket_style":                        "image processing",
	"bucket_tags":                         "tags of buckets",
	"bucket_transfer_acceleration":        "other endpoints of the service",
	"bucket_website":                      "web sites",
	"cname":                               "own domains",
	"meta_query":                          "searching objects",
	"object_acl":                          "every object is private",
	"object_extension":                    "uploads and downloads in parts",
	"object_multipart":                    "uploads in parts",
	"object_process":                      "image processing",
	"object_select":                       "SQL",
	"object_symlink":                      "symbolic links",
	"object_tagging":                      "tags of objects, but their number",
	"presign":                             "signed URLs",
	"public_access_block":                 "every bucket is private",
}

// alongside are the files that the claimed tests need, without tests of their own that are run.
var alongside = []string{"client_integration_test.go", "utils_test.go"}

func TestTheVendorsOwnTestsPassUnchanged(t *testing.T) {
	t.Parallel() // with the clients of npm
	dir := filepath.Join(strings.TrimSpace(run(t, ".", nil, "go", "list", "-m", "-f", "{{.Dir}}", ossSDK)), "oss")
	binary := filepath.Join(t.TempDir(), "oss.test")
	files := slices.Clone(alongside)
	claimed := 0
	for _, c := range claims {
		files = append(files, c.file)
		claimed += len(c.claimed)
	}
	if claimed < 20 {
		t.Errorf("%d functions are claimed, fewer than 20", claimed)
	}
	files = append(files, sources(t, dir)...)
	run(t, dir, nil, "go", append([]string{"test", "-c", "-vet=off", "-tags", "integration", "-o", binary}, files...)...)
	for _, c := range claims {
		t.Run(c.file, func(t *testing.T) {
			t.Parallel() // they wait for seconds, as the service needs it
			out := run(t, dir, sdkCloud(t), binary, "-test.v", "-test.timeout", limit.String(), "-test.run", "^("+strings.Join(c.claimed, "|")+")$")
			for _, name := range c.claimed {
				if !strings.Contains(out, "--- PASS: "+name+" ") {
					t.Errorf("%s did not pass:\n%s", name, out)
				}
			}
		})
	}
}

func TestEveryTestOfTheSDKIsClaimedOrHasAReason(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(strings.TrimSpace(run(t, ".", nil, "go", "list", "-m", "-f", "{{.Dir}}", ossSDK)), "oss")
	found, err := filepath.Glob(filepath.Join(dir, "client_integration_*_test.go"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no integration tests in %s (%v)", dir, err)
	}
	left := map[string]bool{}
	for name := range notClaimed {
		left[name] = true
	}
	for _, path := range found {
		name := filepath.Base(path)
		if slices.Contains(alongside, name) {
			continue
		}
		i := slices.IndexFunc(claims, func(c claim) bool { return c.file == name })
		if i < 0 {
			short := strings.TrimSuffix(strings.TrimPrefix(name, "client_integration_"), "_test.go")
			if notClaimed[short] == "" {
				t.Errorf("%s is neither claimed nor left out with a reason", name)
			}
			delete(left, short)
			continue
		}
		c := claims[i]
		want := slices.Clone(c.claimed)
		for name := range c.not {
			want = append(want, name)
		}
		slices.Sort(want)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(data, -1) {
			got = append(got, string(m[1]))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: the list has\n%q, the file has\n%q", name, want, got)
		}
	}
	for name := range left {
		t.Errorf("%s is left out, and the SDK has no such file", name)
	}
}

// sources are the files of a package that are no tests.
func sources(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no Go files in %s (%v)", dir, err)
	}
	var names []string
	for _, path := range paths {
		if name := filepath.Base(path); !strings.HasSuffix(name, "_test.go") {
			names = append(names, name)
		}
	}
	return names
}

// sdkCloud starts a stand-in of OSS and returns the settings that lead the SDK's tests to it, and nowhere else.
func sdkCloud(t *testing.T) []string {
	t.Helper()
	const id, secret = "LTAI-sdk-tests", "a secret of the SDK's tests"
	objects := oss.New(oss.Options{Clock: clock.New(time.Now(), 1), Region: region, Keys: []oss.Keys{{ID: id, Secret: secret}}})
	return []string{
		"OSS_TEST_REGION=" + region,
		// The SDK leaves out the path. The tests' clean-up looks for the bucket's own endpoint in here, and would ask the service otherwise.
		"OSS_TEST_ENDPOINT=" + serve(t, objects.Handler()) + "/oss-" + region + ".aliyuncs.com",
		"OSS_TEST_ACCESS_KEY_ID=" + id,
		"OSS_TEST_ACCESS_KEY_SECRET=" + secret,
	}
}

// run runs a program and returns what it prints.
func run(t *testing.T, dir string, env []string, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), env...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", name, err, out.Bytes(), problems.Bytes())
	}
	return out.String()
}
