package wait_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

func TestForEndsWithItsTimeOrItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		if err := wait.For(t.Context(), time.Minute); err != nil || time.Since(begin) != time.Minute {
			t.Errorf("returned %v after %v", err, time.Since(begin))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin = time.Now()
		if err := wait.For(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("returned %v after %v", err, time.Since(begin))
		}
		if err := wait.For(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("returned %v", err)
		}
	})
}

func TestFirstReturnsTheFirstErrorAndWaitsForAllTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errFirst := errors.New("first")
		ended := 0
		slow := func(ctx context.Context) error {
			<-ctx.Done()
			time.Sleep(time.Second)
			ended++
			return ctx.Err()
		}
		fast := func(context.Context) error {
			time.Sleep(time.Minute)
			return errFirst
		}
		if err := wait.First(t.Context(), slow, fast); !errors.Is(err, errFirst) || ended != 1 {
			t.Errorf("returned %v when %d slow tasks had ended", err, ended)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := wait.First(ctx, slow); !errors.Is(err, context.Canceled) {
			t.Errorf("returned %v", err)
		}
	})
}

func TestFirstPassesOnAPanicOfTheLastTaskWhenAllOthersHaveEnded(t *testing.T) {
	ended := false
	defer func() {
		if v := recover(); v != "the last task" || !ended {
			t.Errorf("recovered %v, another task had ended: %v", v, ended)
		}
	}()
	_ = wait.First(t.Context(), func(ctx context.Context) error {
		<-ctx.Done()
		ended = true
		return ctx.Err()
	}, func(context.Context) error { panic("the last task") })
}
