package kubernetes_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
	"github.com/minicaptain/multi_connection_pool/discovery/kubernetes"
)

// seen is what a follower of a watcher sees.
type seen struct {
	t *testing.T

	mu       sync.Mutex
	set      []string
	reports  int
	retries  []error
	lost     []error
	warning  error
	changed  chan struct{} // closed and replaced by each of these
	shortest int           // of all sets since the first, and -1 before
}

func follow(t *testing.T, w discovery.Watcher) *seen {
	t.Helper()
	s := &seen{t: t, changed: make(chan struct{}), shortest: -1}
	ctx, cancel := context.WithCancel(context.Background())
	note := func(f func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
		close(s.changed)
		s.changed = make(chan struct{})
	}
	var following sync.WaitGroup
	following.Go(func() {
		discovery.Follow(ctx, w, discovery.Follower{
			Reported: func(set []discovery.Endpoint) {
				note(func() {
					s.set = nil
					for _, e := range set {
						s.set = append(s.set, e.Addr)
					}
					s.reports++
					if s.shortest < 0 || len(set) < s.shortest {
						s.shortest = len(set)
					}
				})
			},
			Retrying: func(err error) { note(func() { s.retries = append(s.retries, err) }) },
			Lost:     func(err error, _ time.Duration) { note(func() { s.lost = append(s.lost, err) }) },
			Warned:   func(err error) { note(func() { s.warning = err }) },
		})
	})
	t.Cleanup(func() { cancel(); following.Wait() })
	return s
}

// until waits until ok, which is called under the lock.
func (s *seen) until(what string, ok func() bool) {
	s.t.Helper()
	for late := time.After(timeout); ; {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late:
			s.mu.Lock()
			defer s.mu.Unlock()
			s.t.Fatalf("waited %v for %s; the set is %q, the warning %v, retries %v, losses %v",
				timeout, what, s.set[:min(len(s.set), 5)], s.warning, s.retries, s.lost)
		}
	}
}

func (s *seen) is(want ...string) {
	s.t.Helper()
	s.until(fmt.Sprintf("the set %q", want), func() bool { return s.reports > 0 && slices.Equal(s.set, want) })
}

func (s *seen) warns(part string) {
	s.t.Helper()
	s.until("the warning "+part, func() bool { return s.warning != nil && strings.Contains(s.warning.Error(), part) })
}

func (s *seen) loses(part string) {
	s.t.Helper()
	s.until("the loss "+part, func() bool {
		return len(s.lost) > 0 && strings.Contains(s.lost[len(s.lost)-1].Error(), part)
	})
}

// shop starts a cluster whose namespace shop the follower may watch.
func shop(t *testing.T) *cluster {
	t.Helper()
	c := startCluster(t, "ETCD_BINARY")
	if err := errors.Join(c.namespace(t.Context(), "shop"), c.allow(t.Context(), "shop", "list", "watch")); err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *service) write(name string, kind discoveryv1.AddressType, port int32, endpoints ...discoveryv1.Endpoint) {
	s.cluster.tb.Helper()
	slice := newSlice(s.name, name, kind, port, endpoints...)
	if err := s.cluster.put(context.Background(), slicesPath(s.namespace), name, slice); err != nil {
		s.cluster.tb.Fatal(err)
	}
}

func endpoint(addr string) discoveryv1.Endpoint {
	return discoveryv1.Endpoint{Addresses: []string{addr}}
}

func TestEmptySetSaysWhy(t *testing.T) {
	c := shop(t)
	s := c.service(t, "shop")
	w, _ := s.watcher()
	got := follow(t, w)
	got.is()
	got.warns("there are none of other Services either")
	other := c.named("shop", "other", s.proxy)
	other.write("other-1", discoveryv1.AddressTypeIPv4, 1, endpoint("10.0.0.1"))
	again := follow(t, w)
	again.warns("the Service does not exist, or has no selector and no endpoints of its own; there are some of other")
	no, yes := false, true
	notReady, ending := endpoint("10.0.0.1"), endpoint("10.0.0.2")
	notReady.Conditions.Ready = &no
	ending.Conditions = discoveryv1.EndpointConditions{Ready: &no, Serving: &yes, Terminating: &yes}
	s.write("a", discoveryv1.AddressTypeIPv4, 90)
	got.warns("has no endpoints: its selector matches no pod")
	s.write("a", discoveryv1.AddressTypeIPv4, 90, notReady)
	got.warns("none of the 1 endpoints of the Service shop/" + s.name + " is ready")
	s.write("a", discoveryv1.AddressTypeIPv4, 90, notReady, ending)
	got.is("10.0.0.2:90")
	got.warns("those that terminate and still serve are used")
	s.write("b", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.3"))
	got.is("10.0.0.3:90")
	got.until("no warning", func() bool { return got.warning == nil })
}

// A caller that finds the pool empty is told why, however early it comes.
func TestReasonForNoSliceComesBeforeTheEmptySet(t *testing.T) {
	s := shop(t).service(t, "shop")
	w, _ := s.watcher()
	ctx, cancel := context.WithCancel(t.Context())
	warned := false
	discovery.Follow(ctx, w, discovery.Follower{
		Warned: func(err error) { warned = warned || err != nil },
		Reported: func(set []discovery.Endpoint) {
			if len(set) > 0 || !warned {
				t.Errorf("a set of %d was reported, a warning before: %v", len(set), warned)
			}
			cancel()
		},
	})
	cancel()
}

func TestPortThatNoSliceHasKeepsTheLastSet(t *testing.T) {
	s := shop(t).service(t, "shop")
	s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.1"))
	w, _ := s.watcher()
	got := follow(t, w)
	got.is("10.0.0.1:90")
	slice := newSlice(s.name, "a", discoveryv1.AddressTypeIPv4, 91, endpoint("10.0.0.2"))
	other := "other"
	slice.Ports[0].Name = &other
	if err := s.cluster.put(t.Context(), slicesPath("shop"), "a", slice); err != nil {
		t.Fatal(err)
	}
	got.loses("the ports are other 91, and none is named p")
	got.is("10.0.0.1:90")
	s.write("a", discoveryv1.AddressTypeIPv4, 91, endpoint("10.0.0.2"))
	got.is("10.0.0.2:91")
}

func TestMissingPermissionNamesTheRule(t *testing.T) {
	c := shop(t)
	const rule = `{apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"]}`
	for name, verbs := range map[string][]string{"none": nil, "list": {"list"}, "watch": {"watch"}} {
		t.Run(name, func(t *testing.T) {
			if err := c.namespace(t.Context(), name); err != nil {
				t.Fatal(err)
			}
			if len(verbs) > 0 {
				if err := c.allow(t.Context(), name, verbs...); err != nil {
					t.Fatal(err)
				}
			}
			s := c.named(name, "echo", plugintest.Proxy(t, c.addr))
			s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.1"))
			w, _ := s.watcher()
			got := follow(t, w)
			if name == "watch" { // which is all that a streaming list takes
				got.is("10.0.0.1:90")
				return
			}
			got.loses("in namespace " + name)
			got.loses(rule)
			got.loses(`User "follower" cannot`)
			t.Log(got.lost[0])
		})
	}
	r := c.config(c.addr, "another token")
	got := follow(t, kubernetes.Watcher("shop/echo:p", kubernetes.WithConfig(r)))
	got.loses("does not know who asks")
	if strings.Contains(got.lost[0].Error(), "another token") {
		t.Errorf("the token is in the error %v", got.lost[0])
	}
}

// TestPermissionThatIsRevokedKeepsTheSet does so when the watch is begun again: the API
// server asks for permission only then.
func TestPermissionThatIsRevokedKeepsTheSet(t *testing.T) {
	c := shop(t)
	s := c.service(t, "shop")
	s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.1"))
	w, _ := s.watcher()
	got := follow(t, w)
	got.is("10.0.0.1:90")
	if err := c.forbid(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	s.proxy.Break()
	got.loses("endpointslices.discovery.k8s.io is forbidden")
	if err := c.allow(t.Context(), "shop", "list", "watch"); err != nil {
		t.Fatal(err)
	}
	s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.1"), endpoint("10.0.0.2"))
	got.is("10.0.0.1:90", "10.0.0.2:90")
	if got.shortest != 1 {
		t.Errorf("a set of %d was reported", got.shortest)
	}
}

func TestRestartAndWipeOfTheServer(t *testing.T) {
	for _, variable := range []string{"ETCD_BINARY", "ETCD_OLD_BINARY"} {
		t.Run(variable, func(t *testing.T) {
			c := startCluster(t, variable)
			begin := func() {
				if err := errors.Join(c.namespace(t.Context(), "shop"), c.allow(t.Context(), "shop", "list", "watch")); err != nil {
					t.Fatal(err)
				}
			}
			begin()
			s := c.service(t, "shop")
			for i := range 50 { // so that the versions of a new server are lower
				s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint(fmt.Sprintf("10.0.1.%d", i)))
			}
			s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.1"), endpoint("10.0.0.2"))
			w, _ := s.watcher()
			got := follow(t, w)
			got.is("10.0.0.1:90", "10.0.0.2:90")
			c.restart(func() {})
			s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.1"), endpoint("10.0.0.3"))
			begun := time.Now()
			got.is("10.0.0.1:90", "10.0.0.3:90")
			t.Logf("a change after a restart was seen after %v", time.Since(begun))
			if got.shortest != 2 {
				t.Errorf("a set of %d was reported", got.shortest)
			}
			c.restart(c.wipe)
			begin() // in which the watch is without permission, or sees nothing
			s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.4"))
			begun = time.Now()
			got.is("10.0.0.4:90")
			t.Logf("a change after a wipe was seen after %v", time.Since(begun))
		})
	}
}

func TestHungServerIsNoticed(t *testing.T) {
	s := shop(t).service(t, "shop")
	s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.1"))
	w, _ := s.watcher(kubernetes.Timeout(time.Second))
	got := follow(t, w)
	got.is("10.0.0.1:90")
	begun := time.Now()
	if err := s.proxy.Hang(); err != nil {
		t.Fatal(err)
	}
	got.until("a failure", func() bool { return len(got.retries)+len(got.lost) > 0 })
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("noticed after %v", took)
	}
	s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.2"))
	if err := s.proxy.Heal(); err != nil {
		t.Fatal(err)
	}
	got.is("10.0.0.2:90")
}

// TestTokenThatRotates has a service account and two of its tokens, of which the first
// ends when the Secret that it is bound to is deleted.
func TestTokenThatRotates(t *testing.T) {
	c := shop(t)
	ctx := t.Context()
	accounts := "/api/v1/namespaces/shop/serviceaccounts"
	if err := c.put(ctx, accounts, "client", &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "client"}}); err != nil {
		t.Fatal(err)
	}
	token := func(secret string) string {
		o := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: secret}}
		if err := c.admin.Post().AbsPath("/api/v1/namespaces/shop/secrets").Body(o).Do(ctx).Into(o); err != nil {
			t.Fatal(err)
		}
		r := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
			BoundObjectRef: &authenticationv1.BoundObjectReference{Kind: "Secret", APIVersion: "v1", Name: secret, UID: o.UID},
		}}
		if err := c.admin.Post().AbsPath(accounts, "client", "token").Body(r).Do(ctx).Into(r); err != nil {
			t.Fatal(err)
		}
		return r.Status.Token
	}
	if err := c.bind(ctx, "shop", "client"); err != nil {
		t.Fatal(err)
	}
	s := c.service(t, "shop")
	s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.1"))
	r := c.config(s.proxy.Addr(), "")
	r.BearerTokenFile = filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		if err := os.WriteFile(r.BearerTokenFile, []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := token("first")
	write(first)
	got := follow(t, kubernetes.Watcher("shop/"+s.name+":p", kubernetes.WithConfig(r)))
	got.is("10.0.0.1:90")
	write(token("second"))
	if err := c.remove(ctx, "/api/v1/namespaces/shop/secrets", "first"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the first token", func() bool {
		old, err := rest.UnversionedRESTClientFor(c.unversioned(first))
		return err == nil && old.Get().AbsPath("/api").Do(ctx).Error() != nil
	})
	s.proxy.Break()
	s.write("a", discoveryv1.AddressTypeIPv4, 90, endpoint("10.0.0.2"))
	begun := time.Now()
	got.is("10.0.0.2:90")
	t.Logf("seen after %v", time.Since(begun))
}
