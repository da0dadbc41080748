package core_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// mistake is an option with a wrong value, or two that do not go together, and
// what the error says of it.
type mistake struct {
	opts []core.Option
	want string
}

func mistakes() []mistake {
	const half = 1 << (bits.UintSize / 2) // of the bits of an int
	one := func(o core.Option, want string) mistake { return mistake{[]core.Option{o}, want} }
	return []mistake{
		one(core.MaxActive(0), "MaxActive(0): must be at least 1"),
		one(core.MaxActive(-1), "MaxActive(-1): must be at least 1"),
		one(core.MaxActive(math.MinInt), "MaxActive(-9223372036854775808): must be at least 1"),
		one(core.MaxActive(16384), "MaxActive(16384) times MaxConcurrentCalls(1): more than 16383 callers at once"),
		one(core.MaxActive(math.MaxInt), "MaxActive(9223372036854775807) times MaxConcurrentCalls(1): more than 16383"),
		one(core.MaxTotal(-1), "MaxTotal(-1): must not be negative"),
		one(core.MaxTotal(math.MinInt), "MaxTotal(-9223372036854775808): must not be negative"),
		one(core.MinIdle(-1), "MinIdle(-1): must not be negative"),
		one(core.MinIdle(65), "MinIdle(65): more than MaxActive(64)"),
		one(core.MinIdle(math.MaxInt), "MinIdle(9223372036854775807): more than MaxActive(64)"),
		one(core.MaxIdle(-1), "MaxIdle(-1): must not be negative"),
		{[]core.Option{core.MinIdle(3), core.MaxIdle(2)}, "MinIdle(3): more than MaxIdle(2)"},
		one(core.IdleTimeout(-1), "IdleTimeout(-1ns): must not be negative"),
		one(core.IdleTimeout(math.MinInt64), "IdleTimeout(-2562047h47m16.854775808s): must not be negative"),
		one(core.MaxLifetime(-time.Second), "MaxLifetime(-1s): must not be negative"),
		one(core.HealthCheckInterval(-time.Second), "HealthCheckInterval(-1s): must not be negative"),
		one(core.DrainTimeout(-time.Second), "DrainTimeout(-1s): must not be negative"),
		one(core.RemovalGrace(-time.Second), "RemovalGrace(-1s): must not be negative"),
		one(core.LeakDetectionThreshold(-time.Second), "LeakDetectionThreshold(-1s): must not be negative"),
		one(core.DialTimeout(0), "DialTimeout(0s): must be above zero"),
		one(core.DialTimeout(-1), "DialTimeout(-1ns): must be above zero"),
		one(core.MaxConcurrentDials(0), "MaxConcurrentDials(0): must be at least 1"),
		one(core.MaxConcurrentDials(-1), "MaxConcurrentDials(-1): must be at least 1"),
		one(core.MaxConcurrentCalls(0), "MaxConcurrentCalls(0): must be at least 1"),
		one(core.MaxConcurrentCalls(-1), "MaxConcurrentCalls(-1): must be at least 1"),
		one(core.MaxConcurrentCalls(512), "MaxActive(64) times MaxConcurrentCalls(512): more than 16383"),
		one(core.MaxConcurrentCalls(math.MaxInt), fmt.Sprintf("MaxActive(64) times MaxConcurrentCalls(%d): more than 16383", math.MaxInt)),
		// A product that overflows to zero, and one to a negative number.
		{[]core.Option{core.MaxActive(half), core.MaxConcurrentCalls(half)}, fmt.Sprintf("times MaxConcurrentCalls(%d): more than 16383", half)},
		{[]core.Option{core.MaxActive(math.MaxInt/2 + 1), core.MaxConcurrentCalls(2)}, "times MaxConcurrentCalls(2): more than 16383"},
		one(core.WithBalancer(nil), "WithBalancer(nil): a balancer is needed; without the option it is"),
		one(core.WithBalancer((*pointerBalancer)(nil)), "WithBalancer(nil): a balancer is needed"),
		one(core.WithClassifier(nil), "WithClassifier(nil): a classifier is needed"),
		one(nil, "option 1 is nil: leave it out"),
	}
}

// pointerBalancer is a Balancer that a nil pointer satisfies.
type pointerBalancer struct{ prefer }

func TestNewNamesEachWrongOption(t *testing.T) {
	for _, m := range mistakes() {
		t.Run(strings.ReplaceAll(m.want, ":", ""), func(t *testing.T) {
			f := newFleet(t)
			wantRefusal(t, f, core.Dialer[*link](f), m.opts, m.want)
		})
	}
}

func TestNewNamesEveryMistakeAtOnce(t *testing.T) {
	opts := []core.Option{
		nil, core.MaxActive(0), core.MaxTotal(-2), core.MinIdle(-3), core.MaxIdle(-4), core.IdleTimeout(-5),
		core.MaxLifetime(-6), core.HealthCheckInterval(-7), core.DialTimeout(-8), core.MaxConcurrentDials(-9), core.DrainTimeout(-10),
		core.RemovalGrace(-11), core.MaxConcurrentCalls(-12), core.LeakDetectionThreshold(-13), core.WithBalancer(nil), core.WithClassifier(nil), nil,
	}
	wantRefusal(t, nil, core.DialFunc[*link](nil), opts,
		"option 1 is nil", "MaxActive(0)", "MaxTotal(-2)", "MinIdle(-3)", "MaxIdle(-4)", "IdleTimeout(-5ns)",
		"MaxLifetime(-6ns)", "HealthCheckInterval(-7ns)", "DialTimeout(-8ns)", "MaxConcurrentDials(-9)", "DrainTimeout(-10ns)",
		"RemovalGrace(-11ns)", "MaxConcurrentCalls(-12)", "LeakDetectionThreshold(-13ns)", "WithBalancer(nil)", "WithClassifier(nil)", "option 17 is nil",
		"the watcher is nil", "the dialer is nil")
}

func TestNewNeedsAWatcherAndADialer(t *testing.T) {
	f := newFleet(t)
	var noFleet *fleet
	for _, c := range []struct {
		name string
		w    core.Watcher
		d    core.Dialer[*link]
		want string
	}{
		{"a nil watcher", nil, f, "the watcher is nil: pass one, such as static.Watcher("},
		{"a nil pointer as watcher", noFleet, f, "the watcher is nil"},
		{"a nil function as watcher", watchFunc(nil), f, "the watcher is nil"},
		{"a nil dialer", f, nil, "the dialer is nil: pass one, such as thriftpool.Dial("},
		{"a nil pointer as dialer", f, noFleet, "the dialer is nil"},
		{"a nil function as dialer", f, core.DialFunc[*link](nil), "the dialer is nil"},
	} {
		t.Run(c.name, func(t *testing.T) { wantRefusal(t, c.w, c.d, nil, c.want) })
	}
}

// wantRefusal fails the test unless New refuses, starts nothing, and says all
// of want, each in a line that begins with "core: ".
func wantRefusal(t *testing.T, w core.Watcher, d core.Dialer[*link], opts []core.Option, want ...string) {
	t.Helper()
	err := refusal(t, w, d, opts)
	for _, s := range want {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("the error does not say %q:\n%v", s, err)
		}
	}
	for line := range strings.Lines(err.Error()) {
		if !strings.HasPrefix(line, "core: ") {
			t.Errorf("a line of the error has no prefix: %q", line)
		}
	}
}

// refusal is the error of New, which must have one and start nothing.
func refusal(t *testing.T, w core.Watcher, d core.Dialer[*link], opts []core.Option) error {
	t.Helper()
	var err error
	synctest.Test(t, func(t *testing.T) { // which ends the test if a goroutine is left
		var p *core.Pool[*link]
		p, err = core.New(w, d, opts...)
		if err == nil {
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
			t.Fatal("New made a pool")
		}
		if p != nil {
			t.Error("New returned an error and a pool")
		}
	})
	return err
}

// watchFunc is a function as a Watcher.
type watchFunc func(ctx context.Context, report func([]core.Endpoint)) error

func (f watchFunc) Watch(ctx context.Context, report func([]core.Endpoint)) error {
	return f(ctx, report)
}

// validated is a Watcher and Dialer that says of itself whether it is right.
type validated struct {
	*fleet
	err   error
	asked *int
}

func (v validated) Validate() error {
	*v.asked++
	return v.err
}

func TestNewAsksTheWatcherAndTheDialerWhetherTheyAreRight(t *testing.T) {
	f := newFleet(t)
	noHosts, noCert := errors.New("no hosts given"), errors.New("no certificate")
	var w, d int
	err := refusal(t, validated{f, noHosts, &w}, validated{f, noCert, &d}, nil)
	if !errors.Is(err, noHosts) || !errors.Is(err, noCert) {
		t.Errorf("the error does not wrap its causes: %v", err)
	}
	if w != 1 || d != 1 {
		t.Errorf("the watcher was asked %d times, the dialer %d times", w, d)
	}
	wantRefusal(t, validated{f, noHosts, &w}, validated{f, noCert, &d}, []core.Option{core.MaxActive(0)},
		"core: the watcher is not valid: no hosts given", "core: the dialer is not valid: no certificate", "MaxActive(0)")
}

func TestNewUsesAWatcherAndADialerThatAreRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, "a:1")
		var w, d int
		p, err := core.New[*link](validated{f, nil, &w}, validated{f, nil, &d})
		if err != nil {
			t.Fatal(err)
		}
		warm(t, p, 1)
		if w != 1 || d != 1 {
			t.Errorf("the watcher was asked %d times, the dialer %d times", w, d)
		}
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestNewReturnsAtOnceWhateverTheWatcherDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t)
		p, err := core.New[*link](watchFunc(func(ctx context.Context, _ func([]core.Endpoint)) error {
			<-ctx.Done()
			return sleep(context.Background(), time.Minute) // a registry that hangs
		}), f)
		if err != nil {
			t.Fatal(err)
		}
		if st := p.Stats(); st.State != core.StatePending || len(st.Endpoints) != 0 {
			t.Errorf("a new pool is %v with %d endpoints", st.State, len(st.Endpoints))
		}
		f.wantCounts(0, 0)
		if err := p.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestLargestValuesOfTheOptionsAreValuesLikeOthers leases, releases and lets
// time pass with them.
func TestLargestValuesOfTheOptionsAreValuesLikeOthers(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	for _, c := range []struct {
		name string
		opts []core.Option
	}{
		{"MaxActive", []core.Option{core.MaxActive(16383)}},
		{"MaxTotal", []core.Option{core.MaxTotal(math.MaxInt)}},
		{"MinIdle", []core.Option{core.MaxActive(100), core.MinIdle(100), core.MaxIdle(100)}},
		{"MaxIdle", []core.Option{core.MaxIdle(math.MaxInt)}},
		{"MaxIdle of shared connections", []core.Option{core.MaxIdle(math.MaxInt), core.MaxConcurrentCalls(2)}},
		{"MaxIdle of much shared connections", []core.Option{core.MaxIdle(math.MaxInt/4 + 1), core.MaxConcurrentCalls(4)}},
		{"MaxConcurrentDials", []core.Option{core.MaxConcurrentDials(math.MaxInt)}},
		{"MaxConcurrentCalls", []core.Option{core.MaxActive(1), core.MaxConcurrentCalls(16383)}},
		{"IdleTimeout", []core.Option{core.IdleTimeout(forever)}},
		{"MaxLifetime", []core.Option{core.MaxLifetime(forever)}},
		{"ValidateAfterIdle", []core.Option{core.ValidateAfterIdle(forever)}},
		{"CheckAfter never", []core.Option{core.ValidateAfterIdle(math.MinInt64)}},
		{"HealthCheckInterval", []core.Option{core.HealthCheckInterval(forever)}},
		{"DialTimeout", []core.Option{core.DialTimeout(forever)}},
		{"DrainTimeout", []core.Option{core.DrainTimeout(forever)}},
		{"RemovalGrace", []core.Option{core.RemovalGrace(forever)}},
		{"LeakDetectionThreshold", []core.Option{core.LeakDetectionThreshold(forever)}},
		{"no observer", []core.Option{core.WithObserver(nil)}},
		{"none, but by name", []core.Option{core.MaxTotal(0), core.MinIdle(0), core.MaxIdle(0), core.MaxLifetime(0), core.LeakDetectionThreshold(0)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1", "b:1", "c:1")
				p := f.pool(append([]core.Option{core.IdleTimeout(0)}, c.opts...)...)
				for range 3 {
					l, err := p.Get(t.Context())
					if err != nil {
						t.Fatal(err)
					}
					if err := l.Release(); err != nil {
						t.Error(err)
					}
					time.Sleep(10 * time.Second)
				}
				if _, closed := f.counts(); closed != 0 {
					t.Errorf("%d connections were closed", closed)
				}
				f.report() // drains all, or keeps them
				time.Sleep(10 * time.Second)
			})
		})
	}
}

func TestSmallestTimesOfTheOptionsAreTimesLikeOthers(t *testing.T) {
	for _, c := range []struct {
		name string
		opt  core.Option
	}{
		{"IdleTimeout", core.IdleTimeout(1)},
		{"MaxLifetime", core.MaxLifetime(1)},
		{"ValidateAfterIdle", core.ValidateAfterIdle(1)},
		{"HealthCheckInterval", core.HealthCheckInterval(1)},
		{"DrainTimeout", core.DrainTimeout(1)},
		{"RemovalGrace", core.RemovalGrace(1)},
		{"LeakDetectionThreshold", core.LeakDetectionThreshold(1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := newFleet(t, "a:1")
				p := f.pool(c.opt)
				for range 20 {
					warm(t, p, 2)
					time.Sleep(100 * time.Millisecond)
				}
				l := get(t, p)
				f.report("b:1")
				time.Sleep(10 * time.Second)
				l.Conn().unuse()
				if err := l.Release(); err != nil {
					t.Error(err)
				}
				warm(t, p, 1)
			})
		})
	}
}

func ExampleNew_mistakes() {
	_, err := core.New(nil, core.DialFunc[*link](nil), core.MaxActive(0), core.DialTimeout(-time.Second))
	fmt.Println(err)
	// Output:
	// core: the watcher is nil: pass one, such as static.Watcher("10.0.0.1:9090")
	// core: the dialer is nil: pass one, such as thriftpool.Dial(thriftpool.Config{}), netpool.Dial(netpool.Config{}) or a core.DialFunc
	// core: MaxActive(0): must be at least 1
	// core: DialTimeout(-1s): must be above zero
}
