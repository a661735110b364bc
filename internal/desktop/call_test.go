package desktop

import "testing"

func TestAFailedCallSaysOnceWhatBecameOfIt(t *testing.T) {
	for want, e := range map[string]CallError{
		"DescribeImages: not sent: no such host":                   {Call: "DescribeImages", Delivery: NotSent, Message: "not sent: no such host"},
		"DescribeImages: not sent: the breaker is open":            {Call: "DescribeImages", Delivery: NotSent, Message: "the breaker is open"},
		"DescribeImages: unknown: sent, but not answered: timeout": {Call: "DescribeImages", Message: "sent, but not answered: timeout"},
		"DescribeImages: unknown: not sent: no such host":          {Call: "DescribeImages", Message: "not sent: no such host"},
	} {
		if got := e.Error(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
