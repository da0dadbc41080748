package core

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core/internal/slots"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/outlier"
)

// Option sets one parameter of a pool. [New] checks all of them. Those that say
// so can also change while the pool runs, by [Pool.Set].
type Option func(*config)

// settings are the parameters that can change while the pool runs. Zero
// durations are off.
type settings struct {
	maxActive, maxTotal, minIdle, maxIdle int
	maxDials                              int
	share                                 int // callers per connection; does not change
	dialTimeout, idleTimeout, maxLifetime time.Duration
	validateAfterIdle                     time.Duration // negative: never
	healthInterval, leakThreshold         time.Duration
	drainTimeout                          time.Duration
}

// config is all parameters.
type config struct {
	settings
	removalGrace time.Duration
	maxEndpoints int
	balancer     balance.Balancer // nil: the default
	outliers     *outlier.Config  // nil: none
	observers    []*observer
	classify     func(error) balance.Outcome
	validateSet  bool // ValidateAfterIdle was given
	// fixed names the options given that cannot change while the pool runs.
	fixed []string
	// wrong are options that make no sense by themselves.
	wrong []error
}

func defaults() config {
	return config{
		settings: settings{
			maxActive: 64, maxDials: 4, dialTimeout: 5 * time.Second, idleTimeout: 5 * time.Minute,
			validateAfterIdle: time.Second, healthInterval: 30 * time.Second, drainTimeout: 30 * time.Second,
		},
		removalGrace: 30 * time.Second,
		maxEndpoints: discovery.DefaultMaxEndpoints,
		outliers:     &outlier.Config{},
	}
}

// MaxActive bounds the connections per endpoint, whether leased, idle, being
// dialed or being closed. The default is 64. It can change while the pool runs.
func MaxActive(n int) Option { return func(c *config) { c.maxActive = n } }

// MaxTotal bounds the connections of the whole pool. The default, 0, is no
// bound besides MaxActive. It can change while the pool runs.
func MaxTotal(n int) Option { return func(c *config) { c.maxTotal = n } }

// MinIdle connections per endpoint are opened ahead of demand and replaced at
// once when they are leased or lost, within the other bounds. The default is 0.
// It can change while the pool runs.
func MinIdle(n int) Option { return func(c *config) { c.minIdle = n } }

// MaxIdle bounds the idle connections per endpoint: one more that is released
// is closed instead; with [MaxConcurrentCalls] above 1, within a second or so.
// The default, 0, is no bound. It can change while the pool runs.
func MaxIdle(n int) Option { return func(c *config) { c.maxIdle = n } }

// IdleTimeout closes connections that were idle for d, to within a second and
// never too early, down to MinIdle. The default is 5 minutes; 0 is never. It
// can change while the pool runs.
func IdleTimeout(d time.Duration) Option { return func(c *config) { c.idleTimeout = d } }

// MaxLifetime closes connections d after they were opened, less a jitter of up
// to a tenth drawn once per connection; a leased one when its lease ends. The
// default, 0, is never. It can change while the pool runs, for connections that
// are opened from then on.
func MaxLifetime(d time.Duration) Option { return func(c *config) { c.maxLifetime = d } }

// ValidateAfterIdle is the idle time, to within a second, after which a
// connection that is a [Peeker] or [HealthChecker] is checked before it is
// leased. The default is what the dialer says, see [Dialer], and else one second;
// 0 is every time; negative is never. It can change while the pool runs.
func ValidateAfterIdle(d time.Duration) Option {
	return func(c *config) { c.validateAfterIdle, c.validateSet = d, true }
}

// HealthCheckInterval is the time between two background checks of an idle
// connection that is a [HealthChecker]; each may take as long as a dial. The
// default is 30 seconds; 0 is never. It can change while the pool runs.
func HealthCheckInterval(d time.Duration) Option { return func(c *config) { c.healthInterval = d } }

// DialTimeout bounds one attempt to open a connection. The default is 5
// seconds. It must be above zero. It can change while the pool runs.
func DialTimeout(d time.Duration) Option { return func(c *config) { c.dialTimeout = d } }

// MaxConcurrentDials bounds the dials under way at once per endpoint. The
// default is 4. It can change while the pool runs.
func MaxConcurrentDials(n int) Option { return func(c *config) { c.maxDials = n } }

// DrainTimeout is how long connections of an endpoint that left the set may
// stay leased; then they are closed while in use. The default is 30 seconds; 0
// is at once. It can change while the pool runs, for endpoints that leave from
// then on.
func DrainTimeout(d time.Duration) Option { return func(c *config) { c.drainTimeout = d } }

// LeakDetectionThreshold makes the pool record where each lease is taken, which
// costs about a microsecond, and report those older than d as
// [EventLeaseLeaked], to within a second and once each. The default, 0, is off.
// It can change while the pool runs.
func LeakDetectionThreshold(d time.Duration) Option { return func(c *config) { c.leakThreshold = d } }

// RemovalGrace is how long endpoints are kept that vanish when more than half
// of the set vanishes at once, an empty report included: the pool doubts the
// registry, and servers that are really gone fail to be dialed. An endpoint that
// vanishes within ten seconds of a failure of the registry is kept until these
// are over, since servers may register again later than the watch is back; any
// other for 100 ms, in case its entry is deleted and created again. Neither is
// longer than RemovalGrace. A set that the program itself has set, as
// static.List.Set does, counts at once. The default is 30 seconds; 0 is not at
// all.
func RemovalGrace(d time.Duration) Option {
	return fixed("RemovalGrace", func(c *config) { c.removalGrace = d })
}

// MaxEndpoints bounds the endpoints of the pool, since a registry need not be
// trusted: of a longer set, those behind the first n are rejected, and
// [EventEndpointRejected] tells of the first of them. The default is
// [discovery.DefaultMaxEndpoints], 16,384; n must be from 1 to 131,072.
func MaxEndpoints(n int) Option { return fixed("MaxEndpoints", func(c *config) { c.maxEndpoints = n }) }

// MaxConcurrentCalls lets up to n callers lease one connection at the same time,
// for multiplexed protocols. Peek and Health of such connections must be safe to
// call beside calls. The default is what the dialer says, see [Dialer], and else
// 1.
func MaxConcurrentCalls(n int) Option {
	return fixed("MaxConcurrentCalls", func(c *config) {
		if c.share = n; n < 1 {
			c.wrong = append(c.wrong, fmt.Errorf("core: MaxConcurrentCalls(%d): must be at least 1", n))
		}
	})
}

// WithBalancer sets how the endpoint of a call is chosen. The default is
// balance.LeastLatency. Outlier detection works with any balancer.
func WithBalancer(b balance.Balancer) Option {
	return fixed("WithBalancer", func(c *config) {
		if c.balancer = b; isNil(b) {
			c.wrong = append(c.wrong, errors.New("core: WithBalancer(nil): a balancer is needed; without the option it is balance.LeastLatency"))
		}
	})
}

// WithOutlierDetection sets the parameters of outlier detection, which takes
// endpoints out of service whose calls fail while those of the others do not.
// It is on by default, with the zero Config.
func WithOutlierDetection(o outlier.Config) Option {
	return fixed("WithOutlierDetection", func(c *config) { c.outliers = &o })
}

// WithoutOutlierDetection switches outlier detection off.
func WithoutOutlierDetection() Option {
	return fixed("WithoutOutlierDetection", func(c *config) { c.outliers = nil })
}

// WithObserver adds a receiver of the pool's events; nil is none. f is called
// synchronously, never under a lock, in a goroutine of its own for which the one
// where the event happened waits, so it must be quick and safe for concurrent use.
// A panic in it is recovered and dropped. The wait is 100 ms at most; while a call
// of f takes longer than that, the pool waits for no other, and drops events when 64
// have not returned. Close waits for those. The attempts of single calls are for a [retry.Observer].
func WithObserver(f func(Event)) Option {
	return fixed("WithObserver", func(c *config) {
		if f != nil {
			c.observers = append(c.observers, newObserver(f))
		}
	})
}

// WithClassifier sets what the error of a call, which may be nil, says about its
// server, in place of the dialer's own classifier. f must be safe for concurrent
// use; a panic in it counts as a failure. The default, where the dialer has none,
// is [Classify].
func WithClassifier(f func(error) balance.Outcome) Option {
	return fixed("WithClassifier", func(c *config) {
		if c.classify = f; f == nil {
			c.wrong = append(c.wrong, errors.New("core: WithClassifier(nil): a classifier is needed; without the option it is the dialer's or core.Classify"))
		}
	})
}

// fixed is an option that cannot change while the pool runs.
func fixed(name string, set Option) Option {
	return func(c *config) {
		c.fixed = append(c.fixed, name)
		set(c)
	}
}

// apply applies the options.
func (c *config) apply(opts []Option) error {
	var errs []error
	for i, o := range opts {
		if o == nil {
			errs = append(errs, fmt.Errorf("core: option %d is nil: leave it out", i+1))
			continue
		}
		o(c)
	}
	return errors.Join(errs...)
}

// adopt takes from a dialer what the options leave open.
func (c *config) adopt(dialer any) {
	if d, ok := dialer.(interface{ MaxConcurrentCalls() int }); ok && c.share == 0 && !isNil(d) {
		c.share = d.MaxConcurrentCalls()
	}
	if d, ok := dialer.(interface{ ValidateAfterIdle() time.Duration }); ok && !c.validateSet && !isNil(d) {
		c.validateAfterIdle = d.ValidateAfterIdle()
	}
	if d, ok := dialer.(interface {
		Classify(err error) balance.Outcome
	}); ok && c.classify == nil && !isNil(d) {
		c.classify = d.Classify
	}
	if c.classify == nil {
		c.classify = Classify
	}
	c.share = max(c.share, 1)
}

// validate reports every mistake at once.
func (c *config) validate() error {
	errs := []error{errors.Join(c.wrong...), c.settings.validate()}
	if c.removalGrace < 0 {
		errs = append(errs, fmt.Errorf("core: RemovalGrace(%v): must not be negative", c.removalGrace))
	}
	// As many may be kept for their grace, and a picker chooses from 262,144.
	if most := 1 << 17; c.maxEndpoints < 1 || c.maxEndpoints > most {
		errs = append(errs, fmt.Errorf("core: MaxEndpoints(%d): must be from 1 to %d", c.maxEndpoints, most))
	}
	if !isNil(c.balancer) {
		errs = append(errs, usable("balancer", c.balancer))
	}
	if c.outliers != nil {
		if err := c.outliers.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("core: %w", err))
		}
	}
	if slices.Contains(c.fixed, "WithOutlierDetection") && slices.Contains(c.fixed, "WithoutOutlierDetection") {
		errs = append(errs, errors.New("core: WithOutlierDetection and WithoutOutlierDetection contradict each other: leave one out"))
	}
	return errors.Join(errs...)
}

// validate reports every mistake at once.
func (s *settings) validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("core: "+format, args...))
		}
	}
	bad(s.maxActive < 1, "MaxActive(%d): must be at least 1", s.maxActive)
	bad(s.maxActive > slots.Max || s.share > slots.Max || s.maxActive*s.share > slots.Max,
		"MaxActive(%d) times MaxConcurrentCalls(%d): more than %d callers at once per endpoint", s.maxActive, s.share, slots.Max)
	bad(s.maxTotal < 0, "MaxTotal(%d): must not be negative", s.maxTotal)
	bad(s.minIdle < 0, "MinIdle(%d): must not be negative", s.minIdle)
	bad(s.minIdle > s.maxActive, "MinIdle(%d): more than MaxActive(%d)", s.minIdle, s.maxActive)
	bad(s.maxIdle < 0, "MaxIdle(%d): must not be negative", s.maxIdle)
	bad(s.maxIdle > 0 && s.minIdle > s.maxIdle, "MinIdle(%d): more than MaxIdle(%d)", s.minIdle, s.maxIdle)
	bad(s.maxDials < 1, "MaxConcurrentDials(%d): must be at least 1", s.maxDials)
	bad(s.dialTimeout <= 0, "DialTimeout(%v): must be above zero", s.dialTimeout)
	for _, d := range []struct {
		name string
		d    time.Duration
	}{
		{"IdleTimeout", s.idleTimeout},
		{"MaxLifetime", s.maxLifetime},
		{"HealthCheckInterval", s.healthInterval},
		{"DrainTimeout", s.drainTimeout},
		{"LeakDetectionThreshold", s.leakThreshold},
	} {
		bad(d.d < 0, "%s(%v): must not be negative", d.name, d.d)
	}
	return errors.Join(errs...)
}

// idleLimit is the most slots that a release leaves idle; 0: all.
func (p *pool) idleLimit() int {
	set := p.settings()
	switch {
	case set.share > 1: // of a connection in use some slots may be idle: the sweep bounds those unused
		return 0
	case p.reset != nil && set.maxIdle == 0:
		return slots.Max // no bound, but every release takes the way past the reset
	default:
		return set.maxIdle
	}
}

// sweepInterval is the time between two sweeps.
func (s *settings) sweepInterval() time.Duration {
	every := time.Second
	for _, d := range []time.Duration{s.idleTimeout, s.healthInterval, s.leakThreshold} {
		if d > 0 {
			every = min(every, max(d/4, 10*time.Millisecond))
		}
	}
	return every
}
