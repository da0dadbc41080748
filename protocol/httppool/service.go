//go:build go1.26

package httppool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/retry"
)

// service is a pool and the options of its requests.
type service struct {
	pool          *core.Pool[*Conn]
	attempts      int
	idempotent    func(*http.Request) bool
	hedged        func(*http.Request) bool
	classify      func(*http.Response) balance.Outcome
	load          func(*http.Response) float64
	route         func(*http.Request) []core.CallOption
	header        func(context.Context, http.Header)
	endpointHost  bool
	maxRetryAfter time.Duration
	avoidance     avoidance
}

func newService(pool *core.Pool[*Conn], opts []Option) *service {
	s := &service{
		pool: pool, attempts: DefaultAttempts, idempotent: Idempotent,
		hedged:   func(*http.Request) bool { return false },
		classify: Classify, maxRetryAfter: DefaultMaxRetryAfter,
	}
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
	return s
}

// send sends the request to one server after the other until one answers, and a
// second time if it is hedged and late.
func (s *service) send(req *http.Request) (*http.Response, error) {
	hedged := s.hedged(req)
	call := retry.Call{Attempts: s.attempts, Repeatable: hedged || s.idempotent(req), Name: req.Method, Request: req}
	if call.Repeatable { // what takes how long is measured by method and path
		call.Method = balance.Hash(req.Method) ^ balance.Hash(req.URL.Path)
	}
	var route []core.CallOption
	if s.route != nil {
		route = s.route(req)
	}
	var resp *http.Response
	var err error
	if hedged && !hasBody(req) && req.Header.Get("Upgrade") == "" {
		resp, err = s.hedge(req, call, route)
	} else {
		resp, err = retry.Run(req.Context(), s.pool.Retrier(), call,
			func(ctx context.Context, a retry.Attempt) (*http.Response, retry.Result, error) {
				if ctx == req.Context() {
					return s.attempt(req, call, route, a)
				}
				resp, res, err := s.attempt(req.WithContext(ctx), call, route, a) // an observer's
				if resp != nil {
					resp.Request = req
				}
				return resp, res, err
			})
	}
	if err == nil {
		return resp, nil
	}
	f, ok := errors.AsType[*failure](err)
	if !ok { // the context ended while both of two hedged requests were under way
		e := explain(req, "", 0, balance.OutcomeNeutral, err)
		return nil, &e
	}
	if f.unread != nil {
		_ = f.unread.Close() // nobody could use the error
	}
	if f.resp != nil {
		return f.resp, nil
	}
	return nil, &f.explained
}

// failure is the error of an attempt, for package retry and the next attempt.
type failure struct {
	// explained is the caller's error if there is no response.
	explained Error
	// resp is a response whose outcome is not OutcomeOK; nil if there is none.
	resp *http.Response
	// unread is the body of the request if no server has got any of it.
	unread io.ReadCloser
	// hungUp means that the server closed a new connection without an answer;
	// hangUps are the servers that did so with this request.
	hungUp  bool
	hangUps []string
}

func (f *failure) Error() string {
	if f.resp != nil {
		return "httppool: the server answered " + f.resp.Status
	}
	return f.explained.Error()
}

// Unwrap returns the cause, for observers.
func (f *failure) Unwrap() error { return f.explained.Err }

// attempt sends the request to one server. With a *failure as its error it may
// also return the response that is in it.
func (s *service) attempt(req *http.Request, call retry.Call, route []core.CallOption, a retry.Attempt) (*http.Response, retry.Result, error) {
	lastStands := retry.Result{Verdict: retry.VerdictNoServer}
	last, _ := errors.AsType[*failure](a.Err)
	ctx := req.Context()
	// The connection of the last response should be free before Get: it may use up
	// the limit of the pool.
	held := last != nil && last.resp != nil && !setAside(last.resp)
	if held {
		if s.pool.Len() < 2 {
			return nil, lastStands, nil
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, elsewhereTime)
		defer cancel()
	}
	var space [8]core.CallOption
	opts := s.avoidance.exclude(append(space[:0], route...))
	for _, addr := range a.Excluded {
		opts = append(opts, core.WithoutEndpoint(addr))
	}
	t := traceOf(req)
	asked := t.getConn(req.URL)
	lease, err := s.pool.Get(ctx, opts...)
	if err != nil {
		if last != nil && last.resp != nil {
			return nil, lastStands, nil
		}
		return nil, retry.Result{Verdict: retry.VerdictNoServer}, noConnection(req, last, err)
	}
	conn := lease.Conn()
	if held && conn.addr == a.Excluded[len(a.Excluded)-1] || !a.Leased(conn.addr) { // it holds the response
		_ = lease.Release()
		return nil, lastStands, nil
	}
	ended := false
	defer func() {
		if !ended { // the caller's code panicked, such as GetBody or a hook of httptrace
			_ = lease.Discard(nil)
		}
	}()
	body, err := nextBody(req, last)
	if err != nil {
		ended = true
		_ = lease.Release()
		return nil, lastStands, nil
	}
	if held {
		_ = last.resp.Body.Close() // nobody will read it
	}
	var within time.Duration
	if now := time.Now(); replayable(req) {
		if until := a.Until(req.Context(), conn.addr, now); !until.IsZero() {
			within = until.Sub(now)
		}
	}
	resp, res, f := s.exchange(req, body, lease, call.Repeatable, within, t, asked)
	ended = true
	if f == nil {
		return resp, res, nil
	}
	res.Outcome = f.explained.Outcome
	if f.unread == nil && !replayable(req) {
		res.Verdict = retry.VerdictDone
	}
	if last != nil {
		f.explained.Attempts, f.hangUps = last.explained.Attempts, last.hangUps
	}
	if f.hungUp {
		if slices.Contains(f.hangUps, conn.addr) {
			res.Verdict = retry.VerdictDone // a third connection would be no better
		}
		f.hangUps = append(f.hangUps, conn.addr)
	}
	if res.Verdict != retry.VerdictStale {
		f.explained.Attempts++
	}
	return resp, res, f
}

// exchange sends the request on the leased connection and reports the outcome.
// The response must begin within the given time, if that is not 0.
// The lease ends with exchange, or with the body of the response that it returns.
// The failure is nil if the outcome is OutcomeOK.
func (s *service) exchange(
	req *http.Request, body io.ReadCloser, lease core.Lease[*Conn], repeatable bool, within time.Duration, t trace, asked time.Time,
) (*http.Response, retry.Result, *failure) {
	conn := lease.Conn()
	res := retry.Result{Endpoint: conn.addr}
	start := conn.staleness.Now()
	// Certainty costs half a microsecond. A repeatable request can do without.
	if err := conn.stale(start, !repeatable); err != nil {
		f := &failure{explained: explain(req, conn.addr, 0, balance.OutcomeNeutral, err), unread: body, hungUp: conn.isNew(start)}
		res.Verdict = retry.VerdictStale
		if f.hungUp {
			res.Verdict, f.explained.Outcome = retry.VerdictUnsent, balance.OutcomeFailure
			lease.Report(balance.Report{Outcome: balance.OutcomeDialFailure})
		}
		_ = lease.Discard(err)
		return nil, res, f
	}
	if !repeatable && lease.Probe() { // rather lose a ping than the request
		if err := conn.Health(req.Context()); err != nil {
			verdict, f := s.failed(req, lease, nil, true, conn.staleness.Now()-start, err)
			f.unread = body
			if verdict != retry.VerdictDone {
				res.Verdict = retry.VerdictUnsent
			}
			return nil, res, f
		}
	}
	out := conn.outgoing(req, body, s.hostFor(req, conn), within)
	if s.header != nil {
		out.req.Header = maps.Clone(out.req.Header)
		if out.req.Header == nil {
			out.req.Header = http.Header{}
		}
		s.header(req.Context(), out.req.Header)
	}
	t.gotConn(conn, asked)
	resp, sent, err := conn.roundTrip(out)
	took := conn.staleness.Now() - start
	if err != nil {
		verdict, f := s.failed(req, lease, out.body, sent, took, err)
		if res.Verdict = verdict; verdict == retry.VerdictFailed {
			res.Took = took
		}
		return nil, res, f
	}
	if out.body != nil {
		out.body.answered()
	}
	outcome := s.outcomeOf(resp)
	lease.Report(balance.Report{Outcome: outcome, Latency: took, Load: s.loadOf(resp)})
	resp.Request = req
	bindLease(resp, lease)
	res.Took, res.Code = took, resp.StatusCode
	switch outcome {
	case balance.OutcomeOK:
		return resp, res, nil
	case balance.OutcomeFailure:
		res.Verdict = retry.VerdictFailed
	case balance.OutcomeOverload:
		res.Verdict = retry.VerdictOverload
		s.avoid(conn.addr, resp)
	default: // another server would gain nothing
	}
	return resp, res, &failure{resp: resp, explained: Error{Outcome: outcome}}
}

// failed judges an attempt without a response, reports it and ends the lease.
func (s *service) failed(
	req *http.Request, lease core.Lease[*Conn], body *requestBody, sent bool, took time.Duration, err error,
) (retry.Verdict, *failure) {
	conn := lease.Conn()
	ended := req.Context().Err() != nil
	late := isTimeout(err) && !ended
	outcome, verdict := conn.judge(req.Context(), body, sent, err)
	broken := conn.ended() || verdict == retry.VerdictStale
	f := &failure{hungUp: broken && !late && verdict != retry.VerdictDone &&
		conn.isNew(conn.staleness.Now()) && !conn.sock.heard.Load()}
	if body != nil {
		f.unread = body.failed(verdict == retry.VerdictStale || verdict == retry.VerdictRefused)
	}
	if f.hungUp && verdict == retry.VerdictStale {
		outcome, verdict = balance.OutcomeFailure, retry.VerdictUnsent
		lease.Report(balance.Report{Outcome: balance.OutcomeDialFailure})
	}
	f.explained = explain(req, conn.addr, 0, outcome, err)
	if sent || verdict == retry.VerdictRefused || outcome == balance.OutcomeCanceled {
		lease.Report(balance.Report{Outcome: outcome, Latency: took})
	}
	if broken && !late {
		conn.staleness.Broke(conn.staleness.Now())
	}
	switch {
	case !broken && !late && (conn.http2 || !sent && body == nil):
		_ = lease.Release()
	case broken && !late && conn.sock.err() != nil && !ended:
		_ = lease.Discard(conn.sock.err()) // io.EOF and the like cost the idle siblings
	default:
		_ = lease.Discard(err)
	}
	return verdict, f
}

// noConnection is the failure of a request that got no connection after the
// attempt last, which is nil at first.
func noConnection(req *http.Request, last *failure, err error) *failure {
	if last == nil {
		return &failure{explained: explain(req, "", 0, balance.OutcomeNeutral, err), unread: req.Body}
	}
	e := last.explained
	return &failure{
		explained: explain(req, e.Endpoint, e.Attempts, e.Outcome, fmt.Errorf("%w, and then %w", e.Err, err)), unread: last.unread,
	}
}

// hostFor returns the Host that the request gets for a connection; empty for its
// own.
func (s *service) hostFor(req *http.Request, conn *Conn) string {
	switch {
	case !s.endpointHost || req.Host != "" && req.Host != req.URL.Host:
		return ""
	case strings.HasPrefix(conn.addr, "unix:"):
		return "localhost" // a path is no host
	default:
		return conn.addr
	}
}

// outcomeOf asks the classifier.
func (s *service) outcomeOf(resp *http.Response) (o balance.Outcome) {
	defer func() {
		if recover() != nil {
			o = balance.OutcomeFailure
		}
	}()
	return s.classify(resp)
}

// loadOf returns the server's load according to the response.
func (s *service) loadOf(resp *http.Response) (load float64) {
	if s.load == nil {
		return 0
	}
	defer func() { _ = recover() }() // no load: a panic is not the server's fault
	return s.load(resp)
}

// avoid keeps requests away from an overloaded server for as long as it asks.
func (s *service) avoid(addr string, resp *http.Response) {
	if s.maxRetryAfter == 0 {
		return
	}
	now := time.Now()
	if d := min(retryAfter(resp, now), s.maxRetryAfter); d > 0 {
		s.avoidance.add(addr, now, now.Add(d))
	}
}
