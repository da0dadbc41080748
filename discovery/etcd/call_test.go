package etcd

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestResetAtTheDeadlineIsNamed has the server notice the deadline first. etcd
// 3.7 then answers by a reset.
func TestResetAtTheDeadlineIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &client{clientKey: clientKey{timeout: 5 * time.Second}}
		for wait, late := range map[time.Duration]bool{0: false, 5*time.Second - time.Millisecond: true} {
			err := c.call(t.Context(), func(context.Context) error {
				time.Sleep(wait)
				return status.Error(codes.Canceled, "stream terminated by RST_STREAM with error code: CANCEL")
			})
			if named := strings.Contains(err.Error(), "no answer within 5s"); named != late {
				t.Errorf("a reset after %v: %v", wait, err)
			}
		}
	})
}
