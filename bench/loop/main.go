// Command loop is the plain way to write the function: for each desktop of a
// request one RebuildDesktops call and then one message, with the vendors' SDKs
// as their samples use them. It is here to be measured against and for nothing
// else: it looks at no facts, keeps no journal and forgets what failed.
//
// Its request is {"regionId": …, "imageId": …, "desktopIds": […]}; the endpoints
// are the function's own settings, MNS on loopback only.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	ecd "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/aliyun/fc-runtime-go-sdk/fccontext"
)

func main() { fc.Start(handle) }

type request struct {
	RegionID   string   `json:"regionId"`
	ImageID    string   `json:"imageId"`
	DesktopIDs []string `json:"desktopIds"`
}

type outcome struct {
	DesktopID string `json:"desktopId"`
	Code      string `json:"code"`
}

func handle(ctx context.Context, r request) (int, error) {
	keys := fccontext.Credentials{}
	if c, ok := fccontext.FromContext(ctx); ok {
		keys = c.Credentials
	}
	desktops, err := ecd.NewClient(&openapi.Config{
		Protocol: new("HTTP"), Endpoint: new(strings.TrimPrefix(os.Getenv("REGILD_ECD_ENDPOINT"), "http://")),
		AccessKeyId: &keys.AccessKeyId, AccessKeySecret: &keys.AccessKeySecret, SecurityToken: &keys.SecurityToken,
	})
	if err != nil {
		return 0, fmt.Errorf("making a client of ECD: %w", err)
	}
	messages := ali_mns.NewAliMNSClientWithConfig(ali_mns.AliMNSClientConfig{
		EndPoint:    os.Getenv("REGILD_MNS_ENDPOINT") + "/.", // the one form of a loopback address that the SDK takes
		AccessKeyId: keys.AccessKeyId, AccessKeySecret: keys.AccessKeySecret, Token: keys.SecurityToken,
	})
	topic := ali_mns.NewMNSTopic(os.Getenv("REGILD_RESULT_TOPIC"), messages)
	for _, id := range r.DesktopIDs {
		answer, err := desktops.RebuildDesktops(&ecd.RebuildDesktopsRequest{RegionId: &r.RegionID, ImageId: &r.ImageID, DesktopId: []*string{&id}})
		if err != nil {
			return 0, fmt.Errorf("rebuilding %s: %w", id, err)
		}
		o := outcome{DesktopID: id}
		for _, result := range answer.Body.RebuildResults {
			o.Code = *result.Code
		}
		body, err := json.Marshal(o)
		if err != nil {
			return 0, fmt.Errorf("writing the outcome of %s: %w", id, err)
		}
		if _, err := topic.PublishMessage(ali_mns.MessagePublishRequest{MessageBody: string(body), MessageTag: o.Code}); err != nil {
			return 0, fmt.Errorf("publishing the outcome of %s: %w", id, err)
		}
	}
	return len(r.DesktopIDs), nil
}
