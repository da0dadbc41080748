package dns_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/dns"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

// seen is what a watch has reported so far.
type seen struct {
	t    *testing.T
	stop context.CancelFunc
	done chan struct{}

	mu       sync.Mutex
	reports  int
	set      []discovery.Endpoint
	changes  int // of the set in use
	failures []error
	lost     []error
	warnings []error
	skipped  map[string]string
}

// follow watches a name at a server, as a pool does.
func follow(t *testing.T, servers []string, name string, opts ...dns.Option) *seen {
	t.Helper()
	s := &seen{t: t, done: make(chan struct{}), skipped: map[string]string{}}
	opts = slices.Concat([]dns.Option{dns.MinTTL(100 * time.Millisecond), dns.OnSkipped(func(key string, err error) {
		s.note(func() { s.skipped[key] = err.Error() })
	})}, opts)
	w := dns.Watcher(servers, name, opts...)
	if err := w.(interface{ Validate() error }).Validate(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.stop = func() { cancel(); <-s.done }
	t.Cleanup(s.stop)
	go func() {
		defer close(s.done)
		discovery.Follow(ctx, w, discovery.Follower{
			RemovalGrace: time.Hour,
			Reported:     func(set []discovery.Endpoint) { s.note(func() { s.reports++; s.set = slices.Clone(set) }) },
			Changed: func(c discovery.Change) { // also, and without a difference, after a loss
				if len(c.Added)+len(c.Updated)+len(c.Removed) > 0 {
					s.note(func() { s.changes++ })
				}
			},
			Retrying: func(err error) { s.note(func() { s.failures = append(s.failures, err) }) },
			Warned: func(err error) {
				if err != nil {
					s.note(func() { s.warnings = append(s.warnings, err) })
				}
			},
			Lost: func(err error, _ time.Duration) { s.note(func() { s.lost = append(s.lost, err) }) },
		})
	}()
	return s
}

func (s *seen) note(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// until waits until ok, which may look at the fields.
func (s *seen) until(what string, ok func() bool) {
	s.t.Helper()
	eventually(s.t, what, func() (yes bool) {
		s.note(func() { yes = ok() })
		return yes
	})
}

// is waits until the last report is want: addresses, with "*weight" unless that is
// not set and "/priority" if there is one.
func (s *seen) is(want ...string) {
	s.t.Helper()
	want = slices.Sorted(slices.Values(want))
	var got []string
	defer func() {
		if s.t.Failed() {
			s.t.Logf("the last report was %.500q, failures %.3v, %.3v", fmt.Sprint(got), s.failures, s.lost)
		}
	}()
	s.until(fmt.Sprintf("%.500s", fmt.Sprint(want)), func() bool {
		got = nil
		for _, e := range s.set {
			text := e.Addr
			if e.Weight != 0 {
				text += fmt.Sprintf("*%v", e.Weight)
			}
			if p := e.Attrs["priority"]; p != "" {
				text += "/" + p
			}
			got = append(got, text)
		}
		slices.Sort(got)
		return s.reports > 0 && slices.Equal(got, want)
	})
}

// says waits until a warning, a failure or a loss has the texts.
func (s *seen) says(texts ...string) {
	s.t.Helper()
	var all []error
	defer func() {
		if s.t.Failed() {
			s.t.Logf("failures %v", all)
		}
	}()
	s.until(fmt.Sprintf("an error with %q", texts), func() bool {
		all = slices.Concat(s.warnings, s.failures, s.lost)
		return slices.ContainsFunc(all, func(err error) bool {
			return !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(err.Error(), text) })
		})
	})
}

func TestAddressesOfANameAreServersOfTheFamilyThatIsWanted(t *testing.T) {
	b := startBind(t, `
two IN A 10.0.0.2
two IN A 10.0.0.1
two IN AAAA 2001:db8::1
six IN AAAA 2001:db8::2
Alias IN CNAME two
`)
	for family, want := range map[string][]string{
		"any": {"10.0.0.1:80", "10.0.0.2:80"}, "ipv4": {"10.0.0.1:80", "10.0.0.2:80"}, "ipv6": {"[2001:db8::1]:80"},
		"both": {"10.0.0.1:80", "10.0.0.2:80", "[2001:db8::1]:80"},
	} {
		follow(t, []string{b.addr}, "TWO.test:80", dns.WithFamily(family)).is(want...)
	}
	follow(t, []string{b.addr}, "six.test.:80").is("[2001:db8::2]:80")
	follow(t, []string{b.addr}, "alias.test:80").is("10.0.0.1:80", "10.0.0.2:80")
	s := follow(t, []string{b.addr}, "six.test:80", dns.WithFamily("ipv4"))
	s.is()
	s.says("six.test. has no A records")
}

func TestServicesFollowTheRulesOfSRV(t *testing.T) {
	b := startBind(t, `
a IN A 10.0.0.1
b IN A 10.0.0.2
c IN A 10.0.0.3
c IN A 10.0.0.4
unspecified IN A 0.0.0.0
_weights._tcp IN SRV 0 10 80 a
_weights._tcp IN SRV 0 0 80 b
_weights._tcp IN SRV 0 10 80 c
_alike._tcp IN SRV 0 0 80 a
_alike._tcp IN SRV 0 0 81 a
_alike._tcp IN SRV 0 0 80 c
_priorities._tcp IN SRV 20 1 80 b
_priorities._tcp IN SRV 10 1 80 a
_priorities._tcp IN SRV 30 1 80 a
_backup._tcp IN SRV 0 1 80 gone
_backup._tcp IN SRV 5 1 80 b
_twice._tcp IN SRV 0 1 80 a
_twice._tcp IN SRV 0 7 80 A
_bad._tcp IN SRV 0 1 0 b
_bad._tcp IN SRV 0 1 80 gone
_bad._tcp IN SRV 0 1 80 unspecified
_bad._tcp IN SRV 0 1 80 .
_bad._tcp IN SRV 0 1 80 a
_onlybad._tcp IN SRV 0 1 80 gone
_closed._tcp IN SRV 0 0 0 .
`)
	service := func(name string, opts ...dns.Option) *seen {
		return follow(t, []string{b.addr}, name+"._tcp.test", opts...)
	}
	service("_weights").is("10.0.0.1:80*10", "10.0.0.2:80*0.01", "10.0.0.3:80*5", "10.0.0.4:80*5")
	service("_alike").is("10.0.0.1:80", "10.0.0.1:81", "10.0.0.3:80*0.5", "10.0.0.4:80*0.5")
	service("_priorities").is("10.0.0.1:80*1")
	service("_priorities", dns.AllPriorities()).is("10.0.0.1:80*1/10", "10.0.0.2:80*1/20")
	service("_backup").is("10.0.0.2:80*1") // none of the lowest priority has an address
	service("_twice").is("10.0.0.1:80*7")

	s := service("_bad")
	s.is("10.0.0.1:80*1")
	s.until("three skipped records", func() bool { return len(s.skipped) == 3 })
	s.says("3 of 4 entries are skipped")
	for key, text := range map[string]string{"b.test.": "port 0", "gone.test.": "does not exist", "0.0.0.0:80": "own host"} {
		if !strings.Contains(s.skipped[key], text) {
			t.Errorf("%s was skipped for %q, want %q", key, s.skipped[key], text)
		}
	}
	s = service("_onlybad")
	s.says("gone.test. does not exist")
	if s.stop(); s.reports > 0 {
		t.Error("a set without a single good record was reported")
	}
	s = service("_closed")
	s.is()
	s.says("_closed._tcp.test.", "no such service")
}

// TestNextPriorityServesWhileTheOneBeforeIsDown has servers, of which DNS does not
// know whether they are up. The pool does.
func TestNextPriorityServesWhileTheOneBeforeIsDown(t *testing.T) {
	listen := func(addr string) (port int, closeAll func()) {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var conns []net.Conn
		var accepting sync.WaitGroup
		accepting.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				mu.Lock()
				conns = append(conns, c)
				mu.Unlock()
			}
		})
		end := sync.OnceFunc(func() {
			_ = l.Close()
			accepting.Wait()
			for _, c := range conns {
				_ = c.Close()
			}
		})
		t.Cleanup(end)
		return l.Addr().(*net.TCPAddr).Port, end
	}
	one, closeOne := listen("127.0.0.1:0")
	two, closeTwo := listen("127.0.0.1:0")
	backup, _ := listen("127.0.0.1:0")
	b := startBind(t, fmt.Sprintf(`
h IN A 127.0.0.1
_s._tcp IN SRV 10 1 %d h
_s._tcp IN SRV 10 1 %d h
_s._tcp IN SRV 20 1 %d h
`, one, two, backup))
	pool, err := core.New(dns.Watcher([]string{b.addr}, "_s._tcp.test", dns.AllPriorities()),
		core.DialFunc[net.Conn](func(ctx context.Context, e discovery.Endpoint) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", e.Addr)
		}), core.WithBalancer(balance.Priority(balance.RoundRobin())))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close(context.Background())
	// calls waits until twenty calls in a row have gone to all of the ports, and to no
	// other.
	calls := func(what string, want ...int) {
		t.Helper()
		slices.Sort(want)
		eventually(t, what, func() bool {
			var got []int
			for range 20 {
				ctx, cancel := context.WithTimeout(t.Context(), timeout)
				lease, err := pool.Get(ctx)
				cancel()
				if err != nil {
					return false
				}
				if p := lease.Conn().RemoteAddr().(*net.TCPAddr).Port; !slices.Contains(got, p) {
					got = append(got, p)
				}
				_ = lease.Discard(nil) // a call that dials each time
			}
			slices.Sort(got)
			return slices.Equal(got, want)
		})
	}
	calls("calls to the servers of the first priority", one, two)
	closeOne()
	calls("calls to the one that is left", two)
	closeTwo()
	calls("calls to the next priority", backup)
	_, closeAgain := listen(fmt.Sprint("127.0.0.1:", two))
	defer closeAgain()
	calls("calls to the first priority again", two)
}

func TestNameThatDoesNotExistIsEmptyAndNamedInTheErrors(t *testing.T) {
	b := startBind(t, "empty IN TXT x\n")
	s := follow(t, []string{b.addr}, "none.test:80")
	s.is()
	s.says("none.test. does not exist (NXDOMAIN)")
	s = follow(t, []string{b.addr}, "empty.test:80")
	s.is()
	s.says("empty.test. has no A or AAAA records")
	s = follow(t, []string{b.addr}, "empty.test")
	s.is()
	s.says("empty.test. has no SRV records", "append the port: empty.test:80")
	b.zones = `zone "broken" { type primary; file "none"; };`
	if err := b.reload("any", dnsmessage.RCodeSuccess); err != nil {
		t.Fatal(err)
	}
	s = follow(t, []string{b.addr}, "none.broken:80") // but here nobody knows
	s.says("none.broken.", "SERVFAIL")
	if s.stop(); s.reports > 0 {
		t.Error("a failed server's name was reported as empty")
	}

	pool, err := core.New(dns.Watcher([]string{b.addr}, "none.test:80", dns.MinTTL(100*time.Millisecond)),
		core.DialFunc[net.Conn](func(context.Context, discovery.Endpoint) (net.Conn, error) { return nil, errors.New("nothing is here") }))
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close(context.Background())
	eventually(t, "an error that names it", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = pool.Get(ctx)
		return err != nil && strings.Contains(err.Error(), "none.test. does not exist")
	})
	t.Log(err)
}

func TestMoreRecordsThanAnAnswerHoldsAreAnErrorAtOnceAndTheSetStays(t *testing.T) {
	var zone strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&zone, "many IN A 10.1.%d.%d\n", i/200, i%200)
	}
	for i := range 5000 {
		fmt.Fprintf(&zone, "more IN A 10.2.%d.%d\n", i/200, i%200)
	}
	b := startBind(t, zone.String())
	follow(t, []string{b.addr}, "more.test:80").says(b.addr, "A more.test.", "is cut, even over TCP")
	s := follow(t, []string{b.addr}, "many.test:80")
	s.until("all", func() bool { return len(s.set) == 4000 })
	changes := make([]dnsmessage.Resource, 200)
	for i := range changes {
		changes[i] = host("many.test.", net.IPv4(10, 3, 0, byte(i)))
	}
	if err := b.update(t.Context(), changes...); err != nil {
		t.Fatal(err)
	}
	s.until("the loss", func() bool { return len(s.lost) > 0 })
	if s.stop(); len(s.set) != 4000 || s.changes != 1 {
		t.Errorf("the last set has %d endpoints, after %d changes", len(s.set), s.changes)
	}
	t.Log(s.lost[0])
}

// TestTenThousandEndpoints has as many as an answer could not: a hundred targets of
// a hundred addresses each.
func TestTenThousandEndpoints(t *testing.T) {
	var zone strings.Builder
	for i := range 100 {
		fmt.Fprintf(&zone, "_big._tcp IN SRV 0 100 80 t%d\n", i)
		for j := range 100 {
			fmt.Fprintf(&zone, "t%d IN A 10.2.%d.%d\n", i, i, j)
		}
	}
	b := startBind(t, zone.String())
	begun := time.Now()
	s := follow(t, []string{b.addr}, "_big._tcp.test")
	s.until("all", func() bool { return len(s.set) == 10_000 })
	t.Logf("the first report took %v", time.Since(begun))
	begun = time.Now()
	if err := b.update(t.Context(), host("t0.test.", net.IPv4(10, 3, 0, 1)), without("t99.test.", dnsmessage.TypeA)); err != nil {
		t.Fatal(err)
	}
	s.until("the change", func() bool { return len(s.set) == 9_901 })
	t.Logf("a change took %v", time.Since(begun))
}

func TestCutAnswerOverUDPIsAskedForAgainOverTCP(t *testing.T) {
	var zone strings.Builder
	want := make([]string, 300)
	for i := range want {
		fmt.Fprintf(&zone, "_many._tcp IN SRV 0 1 80 t%d\nt%d IN A 10.4.%d.%d\n", i, i, i/200, i%200)
		want[i] = fmt.Sprintf("10.4.%d.%d:80*1", i/200, i%200)
	}
	b := startBind(t, zone.String()+"few IN A 10.0.0.1\n")
	follow(t, []string{b.addr}, "_many._tcp.test", dns.WithTransport("udp")).is(want...)

	proxy := plugintest.Proxy(t, b.addr) // forwards TCP alone
	follow(t, []string{b.addr}, "few.test:80", dns.WithTransport("udp")).is("10.0.0.1:80")
	s := follow(t, []string{proxy.Addr()}, "few.test:80", dns.WithTransport("udp"), dns.Timeout(200*time.Millisecond))
	s.until("an error", func() bool { return len(s.failures) > 0 })
}

func TestNextServerIsAskedWhenOneIsDownHungOrRefuses(t *testing.T) {
	b := startBind(t, "a IN A 10.0.0.1\n")
	down := "127.0.0.1:" + freePort(t)
	hung := plugintest.Proxy(t, b.addr)
	if err := hung.Hang(); err != nil {
		t.Fatal(err)
	}
	other := startBind(t, "")
	if err := other.reload("none", dnsmessage.RCodeRefused); err != nil {
		t.Fatal(err)
	}
	s := follow(t, []string{down, hung.Addr(), other.addr, b.addr}, "a.test:80", dns.Timeout(500*time.Millisecond))
	s.is("10.0.0.1:80")
	follow(t, []string{down, hung.Addr(), other.addr}, "a.test:80", dns.Timeout(100*time.Millisecond)).
		says(down, "refused", hung.Addr(), "timeout", other.addr, "REFUSED")

	// Servers that are down, or come back without the zone, change nothing.
	b.kill()
	s.until("failures", func() bool { return len(s.failures) > 1 })
	s.is("10.0.0.1:80")
}

func TestTargetThatNoServerAnswersForKeepsItsAddressesAndCostsNoOther(t *testing.T) {
	b := startBind(t, `
a IN A 10.0.0.1
_s._tcp IN SRV 0 1 80 a
_s._tcp IN SRV 0 1 80 elsewhere.example.
`)
	s := follow(t, []string{b.addr}, "_s._tcp.test")
	s.is("10.0.0.1:80*1")
	s.until("the skipped target", func() bool { return strings.Contains(s.skipped["elsewhere.example."], "REFUSED") })

	b.file("example.zone", zoneHead+"elsewhere IN A 10.0.0.2\n")
	b.zones = `zone "example" { type primary; file "example.zone"; };`
	if err := b.reload("any", dnsmessage.RCodeSuccess); err != nil {
		t.Fatal(err)
	}
	s.is("10.0.0.1:80*1", "10.0.0.2:80*1")
	b.zones = ""
	if err := b.reload("any", dnsmessage.RCodeSuccess); err != nil {
		t.Fatal(err)
	}
	if err := b.update(t.Context(), host("a.test.", net.IPv4(10, 0, 0, 3))); err != nil {
		t.Fatal(err)
	}
	s.is("10.0.0.1:80*0.5", "10.0.0.3:80*0.5", "10.0.0.2:80*1")
}

func TestNamesAreCompletedAsTheSystemDoes(t *testing.T) {
	b := startBind(t, `
echo.ns IN A 10.0.0.1
echo IN A 10.0.0.2
deep.echo.ns IN A 10.0.0.3
`)
	_, port, _ := net.SplitHostPort(b.addr)
	b.file("root.zone", zoneHead) // like a server that knows the rest of the world
	b.zones = `zone "." { type primary; file "root.zone"; };`
	if err := b.reload("any", dnsmessage.RCodeSuccess); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	write := func(text string) dns.Option {
		if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dns.System(conf, port)
	}
	system := write("nameserver 127.0.0.1\nsearch ns.test test\noptions ndots:5\n")
	s := follow(t, nil, "echo:80", system)
	s.is("10.0.0.1:80")
	follow(t, nil, "echo.test.:80", system).is("10.0.0.2:80")
	follow(t, nil, "echo.test:80", system).is("10.0.0.2:80")
	follow(t, nil, "deep.echo:80", system).is("10.0.0.3:80")
	none := follow(t, nil, "none:80", system)
	none.is()
	none.says("none.ns.test. does not exist", "none.test. does not exist", "none. does not exist")
	write("nameserver 127.0.0.1\nsearch test\n")
	s.is("10.0.0.2:80") // the file is read again
}

// A search domain whose servers fail, or that is not theirs, stands in the way of no
// name that does not need it; one that the name needs leaves the set in doubt.
func TestSearchDomainThatFailsCostsOnlyItsOwnNames(t *testing.T) {
	b := startBind(t, "echo IN A 10.0.0.2\nother IN A 10.0.0.3\n")
	_, port, _ := net.SplitHostPort(b.addr)
	b.file("ns.zone", zoneHead+"echo IN A 10.0.0.1\n")
	const broken, whole = `zone "broken" { type primary; file "none"; };`, `zone "ns" { type primary; file "ns.zone"; };`
	serve := func(zones string) {
		t.Helper()
		b.zones = zones
		if err := b.reload("any", dnsmessage.RCodeSuccess); err != nil {
			t.Fatal(err)
		}
	}
	serve(broken + whole)
	follow(t, []string{b.addr}, "echo.ns:80").is("10.0.0.1:80") // BIND loads it behind the reload
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 127.0.0.1\nsearch broken refused ns test\noptions ndots:5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	system := dns.System(conf, port)
	s := follow(t, nil, "echo:80", system)
	s.is("10.0.0.1:80")
	follow(t, nil, "other:80", system).is("10.0.0.3:80")
	none := follow(t, nil, "none:80", system)
	none.says("none.broken.", "SERVFAIL") // which may have it
	if none.stop(); none.reports > 0 {
		t.Error("a name of which nobody knows was reported as empty")
	}

	// echo.test. is another service, and no substitute.
	serve(broken)
	s.says("echo.ns.")
	serve(broken + whole)
	s.note(func() {
		if s.changes != 1 {
			t.Errorf("the set has changed %d times", s.changes)
		}
	})
	if err := b.update(t.Context(), host("echo.test.", net.IPv4(10, 0, 0, 9))); err != nil {
		t.Fatal(err)
	}
	s.is("10.0.0.1:80")
}

func TestSetThatStaysIsReportedOnce(t *testing.T) {
	b := startBind(t, "a IN A 10.0.0.1\na IN A 10.0.0.2\na IN A 10.0.0.3\n")
	proxy := plugintest.Proxy(t, b.addr)
	s := follow(t, []string{proxy.Addr()}, "a.test:80")
	s.is("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
	eventually(t, "ten looks", func() bool { return proxy.Traffic().Connections > 10 })
	if s.stop(); s.reports != 1 || s.changes != 1 || len(s.failures)+len(s.warnings) > 0 {
		t.Errorf("%d reports, %d changes, failures %v, warnings %v", s.reports, s.changes, s.failures, s.warnings)
	}
	if n := proxy.Traffic().Open; n > 0 {
		eventually(t, "the end of connections", func() bool { return proxy.Traffic().Open == 0 })
	}
}

func TestLooksFollowTheTTLWithinItsBounds(t *testing.T) {
	b := startBind(t, "long 3600 IN A 10.0.0.1\nshort 0 IN A 10.0.0.1\n")
	looks := func(name string, opts ...dns.Option) int64 {
		proxy := plugintest.Proxy(t, b.addr)
		s := follow(t, []string{proxy.Addr()}, name, opts...)
		s.is("10.0.0.1:80")
		time.Sleep(time.Second)
		s.stop()
		return proxy.Traffic().Connections
	}
	if n := looks("long.test:80"); n != 1 {
		t.Errorf("%d looks in a second at a record that lives for an hour", n)
	}
	if n := looks("long.test:80", dns.MaxTTL(100*time.Millisecond)); n < 3 {
		t.Errorf("%d looks in a second, want one in 100 ms", n)
	}
	if n := looks("short.test:80"); n < 3 || n > 11 {
		t.Errorf("%d looks in a second, want one in 100 ms", n)
	}
}

func TestAnswersNameOnlyWhatIsAllowed(t *testing.T) {
	b := startBind(t, "a IN A 10.0.0.1\na IN A 169.254.169.254\n")
	s := follow(t, []string{b.addr}, "a.test:80", dns.Deny("169.254.0.0/16"))
	s.is("10.0.0.1:80")
	s.until("the skipped address", func() bool { return len(s.skipped) == 1 })
	if keys := slices.Collect(maps.Keys(s.skipped)); keys[0] != "169.254.169.254:80" {
		t.Errorf("%q was skipped", keys)
	}
}
