package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/leak"
)

const (
	// callers make calls at the same time, and so many each.
	callers      = 4
	callsPerEach = 10
	// marker is in the text of each call.
	marker = "text-"
)

// run is one case under way.
type run struct {
	Fixture
	logf  func(string, ...any)
	mu    sync.Mutex
	calls int
}

// suffer lets calls meet a hostile server, alone and beside a good one.
func (r *run) suffer(ctx context.Context, name string, hostile speak) error {
	before := leak.Goroutines()
	memory := leak.Measure()
	err := r.alone(ctx, hostile)
	if err == nil {
		err = r.beside(ctx, hostile)
	}
	grown := memory.Stop()
	if err == nil && grown > r.MaxMemory {
		err = fmt.Errorf("the heap grew by %d bytes, more than MaxMemory, %d", grown, r.MaxMemory)
	}
	if err == nil {
		err = r.awaitGoroutines(before)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.logf("%s: the heap grew by %d KiB at most", name, grown>>10)
	return nil
}

// alone makes calls to a hostile server that is the only one. They may fail.
func (r *run) alone(ctx context.Context, hostile speak) error {
	s, err := listen(hostile)
	if err != nil {
		return err
	}
	return errors.Join(r.with(ctx, s, []string{s.addr()}, func(c *Client) error {
		for range 2 { // the second may get what the first has left
			if _, err := r.call(ctx, c); err != nil {
				return err
			}
		}
		_, err := r.callAtOnce(ctx, c, 2)
		return err
	}), s.close())
}

// beside makes calls to a hostile server and a good one, in rounds, until at least
// half of a round succeed. The first round does, unless the machine is busy.
func (r *run) beside(ctx context.Context, hostile speak) error {
	addr, stop, err := r.Server()
	if err != nil {
		return fmt.Errorf("Fixture.Server: %w", err)
	}
	s, err := listen(hostile)
	if err != nil {
		return errors.Join(err, stop())
	}
	return errors.Join(r.with(ctx, s, []string{s.addr(), addr}, func(c *Client) error {
		for begun := time.Now(); ; {
			answered, err := r.callAtOnce(ctx, c, callsPerEach)
			switch {
			case err != nil || answered >= callers*callsPerEach/2:
				return err
			case time.Since(begun) > r.Timeout:
				return fmt.Errorf("%d of %d calls succeeded beside a good server", answered, callers*callsPerEach)
			}
		}
	}), s.close(), stop())
}

// with calls f with a client, closes the client, and checks that it leaves no
// connection to s.
func (r *run) with(ctx context.Context, s *server, addrs []string, f func(*Client) error) error {
	c, err := r.Client(addrs...)
	if err != nil {
		return fmt.Errorf("Fixture.Client: %w", err)
	}
	err = f(c)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.Timeout)
	defer cancel()
	if cerr := c.Close(ctx); cerr != nil {
		return errors.Join(err, fmt.Errorf("Client.Close: %w", cerr))
	}
	if err != nil {
		return err
	}
	return s.left(r.Timeout)
}

// callAtOnce makes calls from several goroutines, n each, and returns how many
// were answered.
func (r *run) callAtOnce(ctx context.Context, c *Client, n int) (answered int, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range n {
				ok, cerr := r.call(ctx, c)
				mu.Lock()
				if ok {
					answered++
				}
				if err == nil {
					err = cerr
				}
				mu.Unlock()
				if cerr != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return answered, err
}

// call makes one call, which may fail, and reports whether it was answered.
func (r *run) call(ctx context.Context, c *Client) (answered bool, err error) {
	r.mu.Lock()
	r.calls++
	text := fmt.Sprintf("%s%04d", marker, r.calls)
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, r.CallTimeout)
	defer cancel()

	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() { // ends with the call
		got, err := c.Call(ctx, text)
		done <- result{got, err}
	}()
	late := time.NewTimer(r.CallTimeout + r.Timeout)
	defer late.Stop()
	select {
	case got := <-done:
		if got.err == nil && got.text != text && strings.Contains(got.text, marker) {
			return false, fmt.Errorf("the call with %q got the answer %q", text, cut(got.text))
		}
		return got.err == nil && got.text == text, nil
	case <-late.C:
		return false, fmt.Errorf("a call has not ended %v after its deadline", r.Timeout)
	}
}

// cut returns the beginning of a text, for errors.
func cut(s string) string { return s[:min(len(s), 100)] }

// awaitGoroutines waits until all goroutines have ended that are not in before.
func (r *run) awaitGoroutines(before map[string]string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(r.Timeout); ; <-tick.C {
		err := leak.Left(before)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}
