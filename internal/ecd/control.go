package ecd

import (
	"context"
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
)

const (
	// maxCommandIDs and maxCommand are how many desktops, and how many bytes of
	// Base64, RunCommand takes. Source: RunCommand, "DesktopId", "CommandContent".
	maxCommandIDs = 50
	maxCommand    = 16 << 10
	// maxOutput bounds what is kept of a command's output, in bytes; ECD keeps 24 KB.
	maxOutput = 4 << 10
)

// acknowledged is an answer that says no more than that the call was taken.
type acknowledged struct{ envelope }

// Maintain puts desktops into maintenance mode, or takes them out of it. A
// desktop in it lets nobody connect once its users have left. The call goes out
// in chunks of 100 desktops, one after the other, and ends at the first that
// fails; repeating all of it is harmless. Source: SetDesktopMaintenance.
func (c *Client) Maintain(ctx context.Context, region string, ids []string, on bool) error {
	mode := "EXIT"
	if on {
		mode = "ENTER"
	}
	return c.change(ctx, "SetDesktopMaintenance", region, ids, func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions, ids []*string) error {
		_, err := s.SetDesktopMaintenanceWithContext(ctx, &sdk.SetDesktopMaintenanceRequest{RegionId: &region, DesktopIds: ids, Mode: &mode}, o)
		return err
	})
}

// Stop asks ECD to stop running desktops, and to keep their place so that they
// can be started again. It goes out in chunks as Maintain does; ECD refuses a
// chunk with a desktop that does not run. Source: StopDesktops, "StoppedMode".
func (c *Client) Stop(ctx context.Context, region string, ids []string) error {
	return c.change(ctx, "StopDesktops", region, ids, func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions, ids []*string) error {
		_, err := s.StopDesktopsWithContext(ctx, &sdk.StopDesktopsRequest{RegionId: &region, DesktopId: ids, StoppedMode: new("KeepCharging")}, o)
		return err
	})
}

// Start asks ECD to start stopped desktops. It goes out in chunks as Maintain
// does; ECD refuses a chunk with a desktop that is not stopped. Source:
// StartDesktops.
func (c *Client) Start(ctx context.Context, region string, ids []string) error {
	return c.change(ctx, "StartDesktops", region, ids, func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions, ids []*string) error {
		_, err := s.StartDesktopsWithContext(ctx, &sdk.StartDesktopsRequest{RegionId: &region, DesktopId: ids}, o)
		return err
	})
}

func (c *Client) change(ctx context.Context, api, region string, ids []string,
	send func(context.Context, *sdk.Client, *dara.RuntimeOptions, []*string) error,
) error {
	for chunk := range slices.Chunk(distinct(ids), maxIDs) {
		_, _, err := ask[acknowledged](ctx, c, &c.in(region).changes, api, region,
			func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
				return send(ctx, s, o, pointers(chunk))
			})
		if err != nil {
			return fmt.Errorf("changing %d desktops from %s on in %s: %w", len(chunk), chunk[0], region, err)
		}
	}
	return nil
}

// Run starts a command on desktops and returns the ids to ask Invocations for,
// one for every 50 desktops, in their order. kind is RunPowerShellScript or
// RunBatScript; timeout is rounded up to whole seconds. The command is started
// once: only calls that certainly were not carried out are repeated. After an
// error the ids returned are those of the chunks that were started before it.
// Source: RunCommand.
func (c *Client) Run(ctx context.Context, region string, ids []string, command, kind string, timeout time.Duration) ([]string, error) {
	const api = "RunCommand"
	content := base64.StdEncoding.EncodeToString([]byte(command))
	if len(content) > maxCommand {
		return nil, &desktop.CallError{Call: api, Delivery: desktop.Refused,
			Message: fmt.Sprintf("the command has %d bytes in Base64, and %d are allowed", len(content), maxCommand)}
	}
	seconds := max(1, int64((timeout+time.Second-1)/time.Second))
	var started []string
	for chunk := range slices.Chunk(distinct(ids), maxCommandIDs) {
		query := sdk.RunCommandRequest{
			RegionId: &region, DesktopId: pointers(chunk), Type: &kind, Timeout: &seconds,
			CommandContent: &content, ContentEncoding: new("Base64"),
		}
		id, err := c.runCommand(ctx, region, &query)
		if err != nil {
			return started, fmt.Errorf("running a command on %d desktops in %s: %w", len(chunk), region, err)
		}
		started = append(started, id)
	}
	return started, nil
}

// runCommand makes one RunCommand call and returns the id of what it started.
func (c *Client) runCommand(ctx context.Context, region string, query *sdk.RunCommandRequest) (string, error) {
	const api = "RunCommand"
	body, requestID, err := ask[struct {
		envelope
		InvokeID text `json:"InvokeId"`
	}](ctx, c, &c.in(region).changes, api, region,
		func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
			_, err := s.RunCommandWithContext(ctx, query, o)
			return err
		})
	if err == nil && body.InvokeID == "" {
		err = &desktop.CallError{Call: api, RequestID: requestID, Message: "the answer names no invocation"}
	}
	return string(body.InvokeID), err
}

type describedInvocations struct {
	envelope
	Invocations list[struct {
		InvokeDesktops list[struct {
			DesktopID        text `json:"DesktopId"`
			InvocationStatus text
			ExitCode         text
			Output           text
			ErrorInfo        text
		}]
	}]
	NextToken text
}

// Invocations returns how a command that Run started stands on each of its
// desktops, ordered as ECD lists them. Where ECD has no output but a reason why
// the command could not run, that is the output. Source: DescribeInvocations.
func (c *Client) Invocations(ctx context.Context, region, invokeID string) ([]desktop.Invocation, error) {
	const api = "DescribeInvocations"
	query := sdk.DescribeInvocationsRequest{
		RegionId: &region, InvokeId: &invokeID, MaxResults: new(int32(maxCommandIDs)),
		IncludeInvokeDesktops: new(true), IncludeOutput: new(true), ContentEncoding: new("Base64"),
	}
	var out []desktop.Invocation
	err := pages(api, maxCommandIDs, func(token *string) (string, error) {
		query.NextToken = token
		page, _, err := ask[describedInvocations](ctx, c, &c.in(region).reads, api, region,
			func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
				_, err := s.DescribeInvocationsWithContext(ctx, &query, o)
				return err
			})
		for _, i := range page.Invocations {
			for _, d := range i.InvokeDesktops {
				out = append(out, desktop.Invocation{
					DesktopID: string(d.DesktopID), Status: string(d.InvocationStatus), Done: ended[strings.ToLower(string(d.InvocationStatus))],
					ExitCode: exitCode(d.InvocationStatus, d.ExitCode), Output: output(d.Output, d.ErrorInfo),
				})
			}
		}
		return string(page.NextToken), err
	})
	if err != nil {
		return nil, fmt.Errorf("reading invocation %s in %s: %w", invokeID, region, err)
	}
	return out, nil
}

// exitCode reads the exit code of a command in a status. Those of Windows reach 4,294,967,295. One
// that cannot be read, or is left out of a success, is none by which a command has ended well.
func exitCode(status, t text) int {
	if t == "" && !strings.EqualFold(string(status), "Success") { // it has not ended, or was not run
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(string(t)), ".0"))
	if err != nil {
		return -1
	}
	return n
}

// ended are the statuses after which nothing changes; an unknown one may still.
var ended = map[string]bool{
	"success": true, "failed": true, "timeout": true, "error": true, "invalid": true, "aborted": true,
	"stopped": true, "cancelled": true, "terminated": true, "finished": true, "partialfailed": true,
}

// output decodes a command's output and cuts it after 4 KB.
func output(encoded, reason text) string {
	s := string(encoded)
	if raw, err := base64.StdEncoding.DecodeString(s); err == nil {
		s = string(raw)
	}
	if s == "" && reason != "" {
		return pace.Message(string(reason), credentials.Keys{})
	}
	if len(s) > maxOutput {
		s = s[:maxOutput]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
