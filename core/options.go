package core

import (
	"errors"
	"fmt"
	"time"

	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/core/internal/subpool"
)

// Option sets one parameter of a pool. All of them are checked by [New].
type Option func(*config)

type config struct {
	sub          subpool.Config
	maxTotal     int
	drainTimeout time.Duration
	shrinkGrace  time.Duration
	balancer     Balancer
	observer     Observer
	classify     Classifier
}

func defaults() config {
	return config{
		sub: subpool.Config{
			MaxActive:      64,
			Share:          1,
			MaxDialing:     4,
			DialTimeout:    5 * time.Second,
			IdleTimeout:    5 * time.Minute,
			CheckAfter:     time.Second,
			HealthInterval: 30 * time.Second,
		},
		drainTimeout: 30 * time.Second,
		shrinkGrace:  30 * time.Second,
		balancer:     Ejecting(LeastLatency(Latency{}), Ejection{}),
		classify:     classify,
	}
}

// MaxActive bounds the connections per endpoint, whether leased, idle, being
// dialed or being closed. The default is 64.
func MaxActive(n int) Option { return func(c *config) { c.sub.MaxActive = n } }

// MaxTotal bounds the connections of the whole pool. The default, 0, is no
// bound besides MaxActive.
func MaxTotal(n int) Option { return func(c *config) { c.maxTotal = n } }

// MinIdle connections per endpoint are opened ahead of demand and replaced at
// once when they are leased or lost, within the other bounds. The default is 0.
func MinIdle(n int) Option { return func(c *config) { c.sub.MinIdle = n } }

// MaxIdle bounds the idle connections per endpoint: one more that is released
// is closed instead; with [Share] above 1, within a second or so. The default,
// 0, is no bound.
func MaxIdle(n int) Option { return func(c *config) { c.sub.MaxIdle = n } }

// IdleTimeout closes connections that were idle for d, to within a second and
// never too early, down to MinIdle. The default is 5 minutes; 0 is never.
func IdleTimeout(d time.Duration) Option { return func(c *config) { c.sub.IdleTimeout = d } }

// MaxLifetime closes connections d after they were opened, less a jitter of up
// to a tenth drawn once per connection; a leased one when its lease ends. The
// default, 0, is never.
func MaxLifetime(d time.Duration) Option { return func(c *config) { c.sub.MaxLifetime = d } }

// CheckAfter is the idle time, to within a second, after which a connection
// that is a [Peeker] or [HealthChecker] is checked before it is leased. The
// default is one second; 0 is every time; negative is never.
func CheckAfter(d time.Duration) Option { return func(c *config) { c.sub.CheckAfter = d } }

// HealthInterval is the time between two background checks of an idle
// connection that is a [HealthChecker]; each may take as long as a dial. The
// default is 30 seconds; 0 is never.
func HealthInterval(d time.Duration) Option { return func(c *config) { c.sub.HealthInterval = d } }

// DialTimeout bounds one attempt to open a connection. The default is 5
// seconds. It must be above zero.
func DialTimeout(d time.Duration) Option { return func(c *config) { c.sub.DialTimeout = d } }

// MaxDialing bounds the dials under way at once per endpoint. The default is 4.
func MaxDialing(n int) Option { return func(c *config) { c.sub.MaxDialing = n } }

// DrainTimeout is how long connections of an endpoint that left the set may
// stay leased; then they are closed while in use. The default is 30 seconds; 0
// is at once.
func DrainTimeout(d time.Duration) Option { return func(c *config) { c.drainTimeout = d } }

// ShrinkGrace is how long endpoints are kept that vanish when more than half
// of the set vanishes at once, an empty report included: the registry is
// doubted, and servers that are really gone fail to be dialed. The default is
// 30 seconds; 0 is not at all.
func ShrinkGrace(d time.Duration) Option { return func(c *config) { c.shrinkGrace = d } }

// Share lets up to n callers lease one connection at the same time, for
// multiplexed protocols. Peek and Health of such connections must be safe to
// call beside calls. The default is 1.
func Share(n int) Option { return func(c *config) { c.sub.Share = n } }

// LeakAfter makes the pool record where each lease is taken, which costs about
// a microsecond, and report those older than d as [LeaseLeaked], to within a
// second and once each. The default, 0, is off.
func LeakAfter(d time.Duration) Option { return func(c *config) { c.sub.LeakAfter = d } }

// WithBalancer sets how the endpoint of a call is chosen. The default is
// [LeastLatency], with bad servers ejected: Ejecting(LeastLatency(Latency{}),
// Ejection{}).
func WithBalancer(b Balancer) Option { return func(c *config) { c.balancer = b } }

// WithObserver sets who is told of the pool's events; nil is nobody.
func WithObserver(o Observer) Option { return func(c *config) { c.observer = o } }

// WithClassifier sets what an error of a call tells about its server. By
// default nil is [OK], an error that is context.Canceled is [Cancelled], and
// any other is [Failure].
func WithClassifier(f Classifier) Option { return func(c *config) { c.classify = f } }

// validate reports every mistake at once.
func (c *config) validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("core: "+format, args...))
		}
	}
	s := &c.sub
	bad(s.MaxActive < 1, "MaxActive(%d): must be at least 1", s.MaxActive)
	bad(s.Share < 1, "Share(%d): must be at least 1", s.Share)
	bad(s.MaxActive > slots.Max || s.Share > slots.Max || s.MaxActive*s.Share > slots.Max,
		"MaxActive(%d) times Share(%d): more than %d callers at once per endpoint", s.MaxActive, s.Share, slots.Max)
	bad(c.maxTotal < 0, "MaxTotal(%d): must not be negative", c.maxTotal)
	bad(s.MinIdle < 0, "MinIdle(%d): must not be negative", s.MinIdle)
	bad(s.MinIdle > s.MaxActive, "MinIdle(%d): more than MaxActive(%d)", s.MinIdle, s.MaxActive)
	bad(s.MaxIdle < 0, "MaxIdle(%d): must not be negative", s.MaxIdle)
	bad(s.MaxIdle > 0 && s.MinIdle > s.MaxIdle, "MinIdle(%d): more than MaxIdle(%d)", s.MinIdle, s.MaxIdle)
	bad(s.MaxDialing < 1, "MaxDialing(%d): must be at least 1", s.MaxDialing)
	bad(s.DialTimeout <= 0, "DialTimeout(%v): must be above zero", s.DialTimeout)
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"IdleTimeout", s.IdleTimeout},
		{"MaxLifetime", s.MaxLifetime},
		{"HealthInterval", s.HealthInterval},
		{"DrainTimeout", c.drainTimeout},
		{"ShrinkGrace", c.shrinkGrace},
		{"LeakAfter", s.LeakAfter},
	} {
		bad(d.d < 0, "%s(%v): must not be negative", d.name, d.d)
	}
	bad(isNil(c.balancer), "WithBalancer(nil): a balancer is needed")
	bad(c.observer != nil && isNil(c.observer), "WithObserver: the observer is a nil pointer")
	bad(c.classify == nil, "WithClassifier(nil): a classifier is needed")
	return errors.Join(errs...)
}

// CallOption narrows the choice of one call. It is a value: passing some costs
// no allocation.
type CallOption struct {
	kind callKind
	s    string
	n    int
}

type callKind uint8

const (
	byKey callKind = iota + 1
	on
	avoid
	retry
)

// attempts is how often Do may call its function.
func attempts(opts []CallOption) int {
	n := 1
	for _, o := range opts {
		if o.kind == retry {
			n = o.n
		}
	}
	return n
}

// WithKey sends calls with the same key to the same endpoint while it is there
// and up, where they wait their turn even if others are idle; and moves as few
// keys as possible when it is not.
func WithKey(key string) CallOption { return CallOption{kind: byKey, s: key} }

// On sends the call to the endpoint with this address and to no other.
func On(addr string) CallOption { return CallOption{kind: on, s: addr} }

// Avoid sends the call elsewhere than to this address, unless there is no
// other that is up. It may be given several times; the last four count.
func Avoid(addr string) CallOption { return CallOption{kind: avoid, s: addr} }
