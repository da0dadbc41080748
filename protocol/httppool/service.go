package httppool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// maxStale bounds how many connections, ended before the request, a request may
// come across. The pool drops the idle ones of a server with the first.
const maxStale = 16

// service is a pool and how its requests are made.
type service struct {
	pool       *core.Pool[*Conn]
	attempts   int
	idempotent func(*http.Request) bool
	hedged     func(*http.Request) bool
	classify   func(*http.Response) core.Class
	load       func(*http.Response) float64
	route      func(*http.Request) []core.CallOption
	ownHost    bool
	maxPause   time.Duration
	pauses     pauses
}

func newService(pool *core.Pool[*Conn], opts []Option) *service {
	s := &service{pool: pool, attempts: DefaultAttempts, idempotent: Idempotent, hedged: none, classify: Classify, maxPause: DefaultMaxPause}
	for _, o := range opts {
		o(s)
	}
	return s
}

// outcome is how one attempt ended: with a response, or else with an error.
type outcome struct {
	resp  *http.Response
	err   error
	addr  string // of the server; set when the attempt did not simply succeed
	class core.Class
	// stale: the connection had ended before anything was sent.
	stale bool
	// worn: the connection broke, and had served before. Its server may be well:
	// it may have closed the connection while the request was on its way.
	worn bool
	// unseen: the server has refused to look at the request.
	unseen bool
	// final: sending the request again is pointless.
	final bool
	// unread is the body of the request if it is as new as it was.
	unread io.ReadCloser
}

// roundTrip sends the request to one server after the other until one answers.
// leased, if it is not nil, is told of the first; more are options for the
// choice of servers.
func (s *service) roundTrip(req *http.Request, leased func(addr string), more []core.CallOption) (*http.Response, error) {
	ctx := req.Context()
	var space [8]core.CallOption
	opts := append(space[:0], more...)
	if s.route != nil {
		opts = append(opts, s.route(req)...)
	}
	opts = s.pauses.avoid(opts)
	once := !s.idempotent(req) && !s.hedged(req)

	var last outcome // of the last attempt that counts
	attempts := 0
	var tried []string // servers that get no other attempt
	next := req.Body
	for stale := 0; ; {
		lease, err := s.pool.Get(ctx, opts...)
		if err != nil || len(tried) > 0 && slices.Contains(tried, lease.Endpoint().Addr) {
			_ = lease.Release() // if there is one, it is of a server that was tried
			if next != nil {
				_ = next.Close() // it was not used
			}
			return s.settle(req, last, attempts, err)
		}
		if leased != nil {
			leased(lease.Endpoint().Addr)
		}
		o := s.try(req, next, lease, once)
		if o.class == core.OK && o.err == nil {
			return o.resp, nil
		}
		if o.stale && stale < maxStale {
			if next, err = again(req, o); err == nil {
				stale++ // the server may be well: it has closed an idle connection
				continue
			}
		}
		last = o
		if attempts++; attempts >= s.attempts || !s.repeat(req, &last, once) {
			if o.unread != nil {
				_ = o.unread.Close() // it was not used
			}
			return s.settle(req, last, attempts, nil)
		}
		if next, err = again(req, o); err != nil {
			return s.settle(req, last, attempts, nil)
		}
		if opts = append(opts, core.Avoid(o.addr)); !o.worn && !o.unseen {
			tried = append(tried, o.addr)
		}
	}
}

// settle is what the caller gets in the end: the last response, or why there is
// none; noConn is why there was no connection for another attempt.
func (s *service) settle(req *http.Request, last outcome, attempts int, noConn error) (*http.Response, error) {
	switch {
	case last.resp != nil:
		return last.resp, nil
	case last.err == nil:
		return nil, explain(req, "", 0, core.Ignored, noConn)
	case noConn != nil:
		return nil, explain(req, last.addr, attempts, last.class, fmt.Errorf("%w, and then %w", last.err, noConn))
	default:
		return nil, explain(req, last.addr, attempts, last.class, last.err)
	}
}

// repeat decides whether the request may be sent to another server after that
// outcome.
func (s *service) repeat(req *http.Request, o *outcome, once bool) bool {
	switch {
	case o.final || o.stale || once && !o.unseen || o.unread == nil && !replayable(req):
		return false
	case o.resp != nil && o.class != core.Failure && o.class != core.Overload:
		return false
	case !s.pool.AllowRetry(req.Context()):
		return false
	default:
		// The connection must be free before another is asked for: it may be
		// the last one that the pool is allowed to have.
		return o.resp == nil || absorb(o.resp)
	}
}

// again returns the body for the next attempt.
func again(req *http.Request, o outcome) (io.ReadCloser, error) {
	switch {
	case o.unread != nil:
		return o.unread, nil
	case !hasBody(req):
		return req.Body, nil
	case req.GetBody != nil:
		return req.GetBody()
	default:
		return nil, errGone
	}
}

// try sends the request on the leased connection, and tells the balancer. The
// lease ends with it, or with the body of the response that it returns. once:
// the request must not be executed twice.
func (s *service) try(req *http.Request, b io.ReadCloser, lease core.Lease[*Conn], once bool) outcome {
	panicked := true
	defer func() {
		if panicked { // in code of the caller's, such as a hook of httptrace
			_ = lease.Discard(nil)
		}
	}()
	o := s.send(req, b, lease, once)
	panicked = false
	return o
}

func (s *service) send(req *http.Request, b io.ReadCloser, lease core.Lease[*Conn], once bool) outcome {
	conn := lease.Conn()
	start := conn.alarm.now()
	// What may be repeated can do with less certainty, which costs something.
	if err := conn.ready(start, once); err != nil {
		o := outcome{err: err, addr: lease.Endpoint().Addr, class: core.Ignored, stale: true, unread: b}
		_ = lease.Discard(err)
		return o
	}
	if once && lease.Trial() { // better to lose a ping
		if err := conn.Health(req.Context()); err != nil {
			o := s.failed(req, lease, nil, true, conn.alarm.now()-start, err)
			o.unseen, o.unread = true, b
			return o
		}
	}
	out, up := s.outgoing(req, b, lease)
	resp, sent, err := conn.roundTrip(out) //nolint:bodyclose // the caller does
	took := conn.alarm.now() - start
	if err != nil {
		return s.failed(req, lease, up, sent, took, err)
	}
	if up != nil {
		up.answered()
	}
	o := outcome{resp: resp, class: s.judge(resp)}
	lease.Report(core.Report{Class: o.class, Latency: took, Load: s.loadOf(resp)})
	if o.class != core.OK {
		o.addr = lease.Endpoint().Addr
		s.pause(o, resp)
	}
	resp.Request = req
	settled(resp, lease)
	return o
}

// outgoing is the request as the server of the lease gets it: the caller's own
// if it has no body, since a RoundTripper must not change it.
func (s *service) outgoing(req *http.Request, b io.ReadCloser, lease core.Lease[*Conn]) (*http.Request, *upload) {
	upload := b != nil && b != http.NoBody
	if !upload && !s.ownHost {
		return req, nil
	}
	a := &attempt{req: *req}
	if s.ownHost && (req.Host == "" || req.Host == req.URL.Host) {
		a.req.Host = lease.Endpoint().Addr
	}
	if !upload {
		return &a.req, nil
	}
	a.upload.conn, a.upload.body, a.upload.want = lease.Conn(), b, req.ContentLength
	a.req.Body = &a.upload
	a.req.GetBody = nil // sending it again is our business
	return &a.req, &a.upload
}

// judge asks the classifier.
func (s *service) judge(resp *http.Response) (c core.Class) {
	defer func() {
		if recover() != nil {
			c = core.Failure
		}
	}()
	return s.classify(resp)
}

// loadOf asks what the response tells of its server's load, if anybody knows.
func (s *service) loadOf(resp *http.Response) (load float64) {
	if s.load == nil {
		return 0
	}
	defer func() { _ = recover() }() // as in judge, but it is no fault of the server's
	return s.load(resp)
}

// pause leaves a server alone that asks for it.
func (s *service) pause(o outcome, resp *http.Response) {
	if o.class != core.Overload || s.maxPause == 0 {
		return
	}
	now := time.Now()
	if d := min(retryAfter(resp, now), s.maxPause); d > 0 {
		s.pauses.add(o.addr, now, now.Add(d))
	}
}

// failed judges an attempt that got no response, reports it, and ends the lease.
func (s *service) failed(req *http.Request, lease core.Lease[*Conn], up *upload, sent bool, took time.Duration, err error) outcome {
	conn := lease.Conn()
	o := outcome{err: err, addr: lease.Endpoint().Addr, class: core.Failure}
	broken := conn.ended()
	ended := req.Context().Err()
	switch {
	case ended != nil:
		o.final = true
		if errors.Is(ended, context.Canceled) {
			o.class = core.Cancelled
		}
	case up != nil && up.err() != nil:
		o.class, o.final = core.Ignored, true // it is the body that is at fault
	case errors.Is(err, errRefused):
		o.class, o.unseen = core.Overload, true
	case !sent && (broken || errors.Is(err, errGone)):
		o.class, o.stale, broken = core.Ignored, true, true
	case !sent:
		o.class, o.final = core.Ignored, true // it is the request that is at fault
	case conn.cut.Load():
		o.class = core.Ignored // the pool has closed it, at the end of a drain
	}
	if up != nil {
		o.unread = up.failed(o.stale || o.unseen)
	}
	if sent || o.unseen || o.class == core.Cancelled {
		lease.Report(core.Report{Class: o.class, Latency: took})
	}
	var timeout interface{ Timeout() bool }
	late := errors.As(err, &timeout) && timeout.Timeout() && ended == nil
	o.worn = sent && broken && !late && conn.again.Load()
	if broken && !late {
		conn.alarm.raise(conn.alarm.now())
	}
	switch {
	case !broken && !late && (conn.http2 || !sent && up == nil):
		_ = lease.Release()
	case broken && !late && conn.sock.err() != nil && ended == nil:
		_ = lease.Discard(conn.sock.err()) // io.EOF and the like cost the idle siblings
	default:
		_ = lease.Discard(err)
	}
	return o
}
