package main

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/apache/thrift/lib/go/thrift"

	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

// callTimeout is how long a caller waits for an answer, retries included.
const callTimeout = 2 * time.Second

// callAll calls from o.concurrency goroutines until ctx is done, and returns
// when the last call has ended.
func callAll(ctx context.Context, client thrift.TClient, o options, st *stats) {
	pace := newPace(o.rate)
	request := &echo.Message{Text: strings.Repeat("x", o.size)}
	var callers sync.WaitGroup
	for range o.concurrency {
		callers.Go(func() {
			// A generated client costs nothing and must not be shared: it
			// keeps the metadata of its last reply.
			service := echo.NewEchoClient(client)
			for pace.wait(ctx) {
				call(ctx, service, request, st)
			}
		})
	}
	callers.Wait()
}

// call makes one call, which goes on when ctx ends.
func call(ctx context.Context, service *echo.EchoClient, request *echo.Message, st *stats) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	begin := time.Now()
	reply, err := service.Send(ctx, request)
	if err != nil {
		st.failed(err)
		return
	}
	st.answered(reply.GetServer(), time.Since(begin))
}

// pace spreads calls evenly over time. It is safe for concurrent use.
type pace struct {
	start time.Time
	gap   time.Duration // between two calls; 0 = none
	n     atomic.Int64
}

func newPace(perSecond int) *pace {
	p := &pace{start: time.Now()}
	if perSecond > 0 {
		p.gap = time.Second / time.Duration(perSecond)
	}
	return p
}

// wait blocks until the next call is due, and tells whether to make it. After
// a delay the calls that are overdue follow at once, so that the rate is kept
// on average.
func (p *pace) wait(ctx context.Context) bool {
	due := p.start.Add(time.Duration(p.n.Add(1)-1) * p.gap)
	if d := time.Until(due); p.gap > 0 && d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}
