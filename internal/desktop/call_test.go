package desktop

import "testing"

func TestAFailedCallSaysOnceWhatBecameOfIt(t *testing.T) {
	for want, e := range map[string]CallError{
		"DescribeImages: not sent: no such host":                   {Call: "DescribeImages", Delivery: NotSent, Message: "not sent: no such host"},
		"DescribeImages: not sent: the breaker is open":            {Call: "DescribeImages", Delivery: NotSent, Message: "the breaker is open"},
		"DescribeImages: unknown: sent, but not answered: timeout": {Call: "DescribeImages", Message: "sent, but not answered: timeout"},
		"DescribeImages: unknown: not sent: no such host":          {Call: "DescribeImages", Message: "not sent: no such host"},
		"X: unknown, throttled: FlowControl":                       {Call: "X", Throttled: true, Code: "FlowControl"},
		"X: throttled: Throttling: slower (request id R)":          {Call: "X", Delivery: NotSent, Throttled: true, Code: "Throttling", Message: "slower", RequestID: "R"},
		"X: credentials not accepted: InvalidAccessKeyId":          {Call: "X", Delivery: Forbidden, Credentials: true, Code: "InvalidAccessKeyId"},
		"X: forbidden": {Call: "X", Delivery: Forbidden},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
