package ecd

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/regild/regild/internal/desktop"
)

// page is a DescribeDesktops answer with 100 desktops, as the local cloud gives it.
func page(b *testing.B) []byte {
	b.Helper()
	w := newWorld(b, fleet(100))
	answer, err := w.exchange(b.Context(), region, keys, func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
		_, err := s.DescribeDesktopsWithContext(ctx, &sdk.DescribeDesktopsRequest{
			RegionId: new(region), MaxResults: new(pageSize), FilterDesktopGroup: new(false),
		}, o)
		return err
	})
	if err != nil || strings.Count(string(answer.Body), `"DesktopId"`) != 100 {
		b.Fatalf("page: %.200s %v", answer.Body, err)
	}
	return answer.Body
}

// BenchmarkDecode compares reading a page of 100 desktops here with what the
// SDK does: decode into maps, encode again, decode into its own types.
func BenchmarkDecode(b *testing.B) {
	body := page(b)
	b.Run("here", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			p, err := decode[describedDesktops](body)
			if err != nil || len(p.Desktops) != 100 {
				b.Fatal(err)
			}
			for _, d := range p.Desktops {
				_ = d.desktop(region)
			}
		}
	})
	b.Run("sdk", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			var m map[string]any
			if err := json.Unmarshal(body, &m); err != nil {
				b.Fatal(err)
			}
			var out sdk.DescribeDesktopsResponse
			if err := dara.Convert(map[string]any{"statusCode": 200, "body": m}, &out); err != nil || len(out.Body.Desktops) != 100 {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRebuild measures a call with a full batch, from call to answer,
// against the local cloud in the same process.
func BenchmarkRebuild(b *testing.B) {
	w := newWorld(b, fleet(20))
	ids := make([]string, 0, 20)
	for _, d := range w.cloud.Desktops() {
		ids = append(ids, d.ID)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.Rebuild(b.Context(), desktop.Batch{Spec: desktop.Spec{RegionID: region, ImageID: "m-new"}, IDs: ids}); err != nil {
			b.Fatal(err)
		}
	}
}
