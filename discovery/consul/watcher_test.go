package consul_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

// instance puts an instance of a service into the catalog, on a node that goes
// with the test, with a check in the state.
func instance(t *testing.T, db *api.Client, service, addr, state string, tags ...string) {
	t.Helper()
	say(t, db, service, addr, state, "", tags...)
	t.Cleanup(func() { _, _ = db.Catalog().Deregister(&api.CatalogDeregistration{Node: service + "-" + addr}, nil) })
}

// say does it with an output of the check. The types of Consul's client have
// fields that old servers refuse.
func say(t *testing.T, db *api.Client, service, addr, state, output string, tags ...string) {
	t.Helper()
	type object map[string]any
	id := service + addr
	_, err := db.Raw().Write("/v1/catalog/register", object{
		"Node": service + "-" + addr, "Address": addr,
		"Service": object{"ID": id, "Service": service, "Port": 80, "Tags": tags, "Weights": object{"Passing": 5, "Warning": 2}},
		"Check":   object{"CheckID": "check", "Name": "check", "ServiceID": id, "Status": state, "Output": output},
	}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
}

func TestWeightIsThatOfTheWorstCheckAndCriticalInstancesAreLeftOut(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	instance(t, db, service, "10.0.0.1", api.HealthPassing)
	instance(t, db, service, "10.0.0.2", api.HealthWarning)
	instance(t, db, service, "10.0.0.3", api.HealthCritical)
	weights := make(map[string]float64)
	ctx, cancel := context.WithCancel(t.Context())
	err := consul.Watcher([]string{addr}, service).Watch(ctx, func(eps []discovery.Endpoint) {
		for _, e := range eps {
			weights[e.Addr] = e.Weight
		}
		cancel()
	})
	if want := map[string]float64{"10.0.0.1:80": 5, "10.0.0.2:80": 2}; !maps.Equal(weights, want) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v (%v)", weights, want, err)
	}
}

func TestInstanceThatWarnsCountsUnlessOnlyPassingOnesDo(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	instance(t, db, service, "10.0.0.1", api.HealthPassing)
	instance(t, db, service, "10.0.0.2", api.HealthWarning)
	instance(t, db, service, "10.0.0.3", api.HealthCritical)
	all, passing := discoverytest.Follow(t, consul.Watcher([]string{addr}, service)), discoverytest.Follow(t, consul.Watcher([]string{addr}, service, consul.Passing()))
	all.Await("10.0.0.1:80", "10.0.0.2:80")
	passing.Await("10.0.0.1:80")
	instance(t, db, service, "10.0.0.1", api.HealthCritical)
	instance(t, db, service, "10.0.0.2", api.HealthPassing)
	all.Await("10.0.0.2:80")
	passing.Await("10.0.0.2:80")
}

func TestInstanceNeedsEachTag(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	instance(t, db, service, "10.0.0.1", api.HealthPassing, "v1", "blue")
	instance(t, db, service, "10.0.0.2", api.HealthPassing, "v1")
	instance(t, db, service, "10.0.0.3", api.HealthPassing, "blue")
	discoverytest.Follow(t, consul.Watcher([]string{addr}, service, consul.WithTag("v1"))).Await("10.0.0.1:80", "10.0.0.2:80")
	discoverytest.Follow(t, consul.Watcher([]string{addr}, service, consul.WithTag("v1"), consul.WithTag("blue"))).Await("10.0.0.1:80")
}

func TestInstanceOfAnIPv6NodeHasBrackets(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	instance(t, db, service, "2001:db8::1", api.HealthPassing) // the node's address, the service has none
	discoverytest.Follow(t, consul.Watcher([]string{addr}, service)).Await("[2001:db8::1]:80")
}

// TestReturnIsNotAChange has requests return because their time is up.
func TestReturnIsNotAChange(t *testing.T) {
	addr := server(t)
	db, service, p := raw(t, addr), newService(), plugintest.Proxy(t, addr)
	instance(t, db, service, "10.0.0.1", api.HealthPassing)
	f := discoverytest.Follow(t, consul.Watcher([]string{p.Addr()}, service, consul.Wait(time.Second), consul.Timeout(time.Minute)))
	f.Await("10.0.0.1:80")
	first := p.Traffic().FromServer
	eventually(t, "three more answers", func() bool { return p.Traffic().FromServer >= 4*first })
	f.Runs()
	if n := f.Count(); n != 1 {
		t.Errorf("%d reports, want 1", n)
	}
}

// TestNewOutputOfACheckIsNoChange is about what makes Consul
// return, and is nothing to a pool.
func TestNewOutputOfACheckIsNoChange(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	instance(t, db, service, "10.0.0.1", api.HealthPassing)
	f := discoverytest.Follow(t, consul.Watcher([]string{addr}, service))
	f.Await("10.0.0.1:80")
	say(t, db, service, "10.0.0.1", api.HealthPassing, "still well")
	instance(t, db, service, "10.0.0.2", api.HealthPassing)
	f.Await("10.0.0.1:80", "10.0.0.2:80")
	if n := f.Count(); n != 2 {
		t.Errorf("%d reports, want 2", n)
	}
}

func TestOneChangeCostsOneRequest(t *testing.T) {
	addr := server(t)
	db, service, p := raw(t, addr), newService(), plugintest.Proxy(t, addr)
	f := discoverytest.Follow(t, consul.Watcher([]string{p.Addr()}, service, consul.Timeout(time.Minute)))
	f.Await()
	instance(t, db, service, "10.0.0.1", api.HealthPassing) // nothing is asked about an empty set any more
	f.AwaitLen(1)
	const changes = 5
	before := p.Traffic().ToServer
	for i := range changes {
		instance(t, db, service, fmt.Sprint("10.0.1.", i), api.HealthPassing)
		f.AwaitLen(i + 2)
	}
	// A request is between 200 and 300 bytes. The one that is waiting when the
	// count begins may be counted, or the last one not.
	if sent := p.Traffic().ToServer - before; sent > (changes+1)*300 {
		t.Errorf("%d changes have cost %d bytes of requests", changes, sent)
	}
}

func TestMissingPermissionToReadIsReportedAtOnce(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	if _, _, err := db.ACL().TokenReadSelf(nil); err != nil {
		t.Skipf("this Consul has no access control: %v", err)
	}
	instance(t, db, service, "10.0.0.1", api.HealthPassing)
	for what, token := range map[string]string{
		"ACL not found": "00000000-1111-2222-3333-444444444444",
		"may not read":  "anonymous", // of whom Consul has a token, which may do nothing
	} {
		start := time.Now()
		f := discoverytest.Follow(t, consul.Watcher([]string{addr}, service, consul.WithCredentials(discovery.NewSecret(token))))
		err := f.Fails()
		if !strings.Contains(err.Error(), what) || strings.Contains(err.Error(), token) {
			t.Errorf("error %q, want %q and no token", err, what)
		}
		if d := time.Since(start); d > 2*time.Second {
			t.Errorf("%s: reported after %v", what, d)
		}
		if f.Count() > 0 {
			t.Errorf("%s: something was reported", what)
		}
	}
}

func TestUnknownDatacenterIsReportedAfterTheRetryWindow(t *testing.T) {
	err := discoverytest.Follow(t, consul.Watcher([]string{server(t)}, newService(), consul.WithDatacenter("atlantis"))).Fails()
	if !strings.Contains(err.Error(), "No path to datacenter") {
		t.Errorf("error %v", err)
	}
}

func TestUnreachableAgentIsReportedByNameAfterTheRetryWindow(t *testing.T) {
	addr := "127.0.0.1:" + freePorts(t, 1)[0]
	start := time.Now()
	err := discoverytest.Follow(t, consul.Watcher([]string{addr}, "echo")).Fails()
	if d := time.Since(start); d < 5*time.Second || d > 20*time.Second {
		t.Errorf("it failed after %v, want about 10 s", d)
	}
	for _, part := range []string{addr, "echo", "connection refused"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
}

// TestAgentThatHangsDuringABlockingQueryIsNoticed is about a request that would
// wait for a minute.
func TestAgentThatHangsDuringABlockingQueryIsNoticed(t *testing.T) {
	addr := server(t)
	db, service, p := raw(t, addr), newService(), plugintest.Proxy(t, addr)
	instance(t, db, service, "10.0.0.1", api.HealthPassing)
	f := discoverytest.Follow(t, consul.Watcher([]string{p.Addr()}, service, consul.Timeout(time.Second)))
	f.Await("10.0.0.1:80")
	if err := p.Hang(); err != nil {
		t.Fatal(err)
	}
	if err := f.Fails(); !strings.Contains(err.Error(), "no answer in time") {
		t.Errorf("error %v", err)
	}
	if n := f.Count(); n != 1 {
		t.Errorf("%d reports, want none after the first", n)
	}
}

func TestAnotherAgentIsAskedWhenOneHangs(t *testing.T) {
	addr := server(t)
	db, service, p := raw(t, addr), newService(), plugintest.Proxy(t, addr)
	f := discoverytest.Follow(t, consul.Watcher([]string{p.Addr(), addr}, service, consul.Timeout(time.Second)))
	f.Await()
	if err := p.Hang(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	instance(t, db, service, "10.0.0.1", api.HealthPassing)
	f.Await("10.0.0.1:80")
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("seen after %v", d)
	}
}

// TestIndexThatGoesBackIsSeen restores what Consul was some time ago, with its
// index: a request that waited for the last one would miss what comes next.
func TestIndexThatGoesBackIsSeen(t *testing.T) {
	c := startConsul(t, "-dev")
	c.ready()
	db := raw(t, c.addr)
	instance(t, db, "echo", "10.0.0.1", api.HealthPassing)
	past, _, err := db.Snapshot().Save(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer past.Close()
	for i := range 50 {
		instance(t, db, "echo", fmt.Sprintf("10.0.1.%d", i), api.HealthPassing)
	}
	f := discoverytest.Follow(t, consul.Watcher([]string{c.addr}, "echo"))
	f.AwaitLen(51)
	if err := db.Snapshot().Restore(nil, past); err != nil {
		t.Fatal(err)
	}
	f.Await("10.0.0.1:80")
	start := time.Now()
	instance(t, db, "echo", "10.0.0.2", api.HealthPassing)
	f.Await("10.0.0.1:80", "10.0.0.2:80")
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("a change after that was seen after %v", d)
	}
}

func TestServerThatRestartsEmptyIsSeen(t *testing.T) {
	c := startConsul(t, "-dev")
	c.ready()
	db := raw(t, c.addr)
	for i := range 50 {
		instance(t, db, "echo", fmt.Sprintf("10.0.1.%d", i), api.HealthPassing)
	}
	instance(t, db, "echo", "10.0.0.1", api.HealthPassing)
	f := discoverytest.Follow(t, consul.Watcher([]string{c.addr}, "echo"))
	f.AwaitLen(51)
	c.kill()
	c.start()
	c.ready()
	instance(t, db, "echo", "10.0.0.2", api.HealthPassing)
	f.Await("10.0.0.2:80")
	instance(t, db, "echo", "10.0.0.3", api.HealthPassing)
	f.Await("10.0.0.2:80", "10.0.0.3:80")
}

func TestServersWithoutALeaderAreAnErrorNotAnEmptySet(t *testing.T) {
	c := startConsul(t, "-server", "-bootstrap-expect=3", "-data-dir="+t.TempDir())
	f := discoverytest.Follow(t, consul.Watcher([]string{c.addr}, "echo", consul.Timeout(time.Second)))
	t.Log(f.Fails())
	if f.Count() > 0 {
		t.Error("something was reported")
	}
}

// TestEndOfAnOutageIsSeenWithinSeconds has an outage that is too short for Watch
// to return.
func TestEndOfAnOutageIsSeenWithinSeconds(t *testing.T) {
	addr := server(t)
	db, service, p := raw(t, addr), newService(), plugintest.Proxy(t, addr)
	instance(t, db, service, "10.0.0.1", api.HealthPassing)
	f := discoverytest.Follow(t, consul.Watcher([]string{p.Addr()}, service))
	f.Await("10.0.0.1:80")
	p.Cut()
	outage := time.NewTimer(5 * time.Second)
	instance(t, db, service, "10.0.0.2", api.HealthPassing)
	<-outage.C
	if err := p.Heal(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	f.Await("10.0.0.1:80", "10.0.0.2:80")
	d := time.Since(start)
	t.Logf("what changed in an outage of 5 s was seen %v after its end", d)
	if d > 2*time.Second {
		t.Error("that is too long")
	}
	start = time.Now()
	f.Stop()
	t.Logf("Watch returned %v after it was cancelled", time.Since(start))
}
