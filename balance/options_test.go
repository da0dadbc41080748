package balance_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
)

// validate returns the error of b, as core.New asks for it.
func validate(t *testing.T, b balance.Balancer) error {
	t.Helper()
	v, ok := b.(interface{ Validate() error })
	if !ok {
		t.Fatalf("%T has no Validate", b)
	}
	return v.Validate()
}

func TestOptionsThatMakeNoSenseAreErrorsAndDoNoHarm(t *testing.T) {
	random, nonsense := balance.Random(), balance.LeastInFlight(balance.Choices(-9))
	for _, c := range []struct {
		balancer balance.Balancer
		says     []string // each in an error of its own; none: the options are valid
	}{
		{balance.RoundRobin(), nil},
		{balance.WeightedRoundRobin(), nil},
		{random, nil},
		{balance.LeastInFlight(), nil},
		{balance.LeastInFlight(balance.Choices(0)), nil},
		{balance.LeastInFlight(balance.Choices(2)), nil},
		{balance.LeastInFlight(balance.Choices(math.MaxInt32)), nil},
		{balance.LeastInFlight(balance.Choices(1)), []string{"Choices(1)"}},
		{nonsense, []string{"Choices(-9)"}},
		{balance.PeakEWMA(), nil},
		{balance.PeakEWMA(balance.Decay(0)), nil},
		{balance.PeakEWMA(balance.Decay(1)), nil},
		{balance.PeakEWMA(balance.Decay(-time.Second)), []string{"Decay(-1s)"}},
		{balance.LeastInFlight(nil), []string{"an option is nil"}},
		{balance.PeakEWMA(nil), []string{"an option is nil"}},
		{balance.RingHash(nil), []string{"an option is nil"}},
		{balance.ZoneAware("a", random, nil), []string{"an option is nil"}},
		{balance.Subset(0, 1, random, nil), []string{"an option is nil"}},
		{balance.Maglev(), nil},
		{balance.Maglev(balance.LoadBound(0)), nil},
		{balance.Maglev(balance.LoadBound(math.Inf(1))), nil},
		{balance.Maglev(balance.LoadBound(-0.1)), []string{"LoadBound(-0.1)"}},
		{balance.RingHash(balance.LoadBound(math.NaN())), []string{"LoadBound(NaN)"}},
		{balance.Rendezvous(balance.LoadBound(-1), balance.LoadBound(math.Inf(-1))), []string{"LoadBound(-1)", "LoadBound(-Inf)"}},
		{balance.Ketama(balance.ServerName(attrName), balance.KeyHash(balance.Hash)), nil},
		{balance.Ketama(nil), []string{"an option is nil"}},
		{balance.Twemproxy(balance.ServerName(nil), balance.RingSize(1, 2)), []string{"ServerName: the function is nil", "RingSize: Twemproxy has no sizes"}},
		{balance.LibmemcachedKetama(balance.KeyHash(nil)), []string{"KeyHash: the function is nil"}},
		{balance.Nginx(balance.RingSize(0, 1)), []string{"RingSize: Nginx has no sizes"}},
		{balance.HAProxy(nil), []string{"HAProxy: the function of ids is nil"}},
		{balance.HAProxy(idOfIP, balance.ServerName(attrName)), []string{"ServerName: HAProxy places servers by their ids"}},
		{balance.GRPCRing(balance.RingSize(0, 0)), nil},
		{balance.GRPCRing(balance.RingSize(4097, 0)), []string{"RingSize(4097, 0): the least size is more than the largest, 4096"}},
		{balance.GRPCRing(balance.RingSize(0, 512)), []string{"RingSize(0, 512): the least size is more than the largest, 512"}},
		{balance.GRPCRing(balance.RingSize(-1, 1<<21)), []string{"RingSize(-1, 2097152): must be from 1 to 1048576"}},
		{balance.ZoneAware("a", random), nil},
		{balance.ZoneAware("a", random, balance.TrafficShare(0)), nil},
		{balance.ZoneAware("a", random, balance.TrafficShare(1)), nil},
		{balance.ZoneAware("a", random, balance.TrafficShare(1.1)), []string{"TrafficShare(1.1)"}},
		{balance.ZoneAware("a", random, balance.TrafficShare(-1)), []string{"TrafficShare(-1)"}},
		{balance.ZoneAware("a", nonsense, balance.TrafficShare(math.NaN())), []string{"Choices(-9)", "TrafficShare(NaN)"}},
		{balance.Subset(7, 3, random), nil},
		{balance.Subset(-1, 3, random), nil},
		{balance.Subset(0, 1, random, balance.Aperture(0)), nil},
		{balance.Subset(0, 1, random, balance.Aperture(12)), nil},
		{balance.Subset(0, 1, random, balance.Aperture(11)), []string{"Aperture(11)"}},
		{balance.Subset(0, 0, nonsense, balance.Aperture(-1)), []string{"Choices(-9)", "Subset: 0 clients", "Aperture(-1)"}},
		{balance.Subset(0, 1, balance.ZoneAware("", balance.LeastLatency(balance.LeastLatencyConfig{Choices: 9}))), []string{"LeastLatencyConfig.Choices 9"}},
	} {
		err := validate(t, c.balancer)
		var lines []string
		if err != nil {
			lines = strings.Split(err.Error(), "\n")
		}
		if len(lines) != len(c.says) {
			t.Errorf("error %v, want %q", err, c.says)
			continue
		}
		for i, line := range lines {
			if !strings.HasPrefix(line, "balance: "+c.says[i]) {
				t.Errorf("error %q, want one about %q", line, c.says[i])
			}
		}
		for _, n := range []int{0, 1, 3, 150} { // nothing asks Validate, as in a simulation
			p := c.balancer.Build(nil, fleetOf(n))
			for k := range uint64(100) {
				for _, info := range []balance.PickInfo{{}, {Hash: k, Keyed: true}} {
					if i := p.Pick(info); i >= n || i < 0 && n > 0 {
						t.Fatalf("%q: picked %d of %d", c.says, i, n)
					}
				}
			}
		}
	}
}

func TestInnerBalancerMustNotBeNil(t *testing.T) {
	for name, b := range map[string]balance.Balancer{"ZoneAware": balance.ZoneAware("a", nil), "Subset": balance.Subset(0, 1, nil)} {
		if err := validate(t, b); err == nil || !strings.Contains(err.Error(), name+": the inner balancer is nil") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
