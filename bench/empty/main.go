// Command empty is the least that can be deployed with fc-runtime-go-sdk: a
// function that answers null. What it costs to start is what the SDK and the Go
// runtime cost, and nothing that we could save.
package main

import (
	"context"

	"github.com/aliyun/fc-runtime-go-sdk/fc"
)

func main() {
	fc.Start(func(context.Context, []byte) (any, error) { return nil, nil })
}
