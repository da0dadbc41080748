package consul_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

// scriptedAgent answers the questions for a service one after the other, as its script
// says. It does not answer the one behind the last, so that a watcher waits.
type scriptedAgent struct {
	*httptest.Server

	connections atomic.Int32

	mu     sync.Mutex
	script []func(http.ResponseWriter)
	asked  []string // the permissions that it was asked for
	// authorize answers that, and nil means that there is no access control.
	authorize func(w http.ResponseWriter, question string)
}

func newScriptedAgent(t *testing.T, script ...func(http.ResponseWriter)) *scriptedAgent {
	t.Helper()
	a := &scriptedAgent{script: script}
	a.Server = httptest.NewUnstartedServer(a)
	a.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			a.connections.Add(1)
		}
	}
	a.Start()
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

func (a *scriptedAgent) watch(t *testing.T) *discoverytest.Follower {
	t.Helper()
	return discoverytest.Follow(t, consul.Watcher([]string{a.Listener.Addr().String()}, "echo"))
}

func (a *scriptedAgent) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.Contains(r.URL.Path, "/status/leader"):
		_, _ = io.WriteString(w, `"127.0.0.1:8300"`)
	case strings.Contains(r.URL.Path, "/acl/authorize"):
		question, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.asked = append(a.asked, string(question))
		if a.authorize == nil {
			http.NotFound(w, r)
			return
		}
		a.authorize(w, string(question))
	default:
		a.mu.Lock()
		if len(a.script) == 0 {
			a.mu.Unlock()
			<-r.Context().Done()
			return
		}
		answer := a.script[0]
		a.script = a.script[1:]
		a.mu.Unlock()
		answer(w)
	}
}

// with answers with an index and instances, each on the node of its name.
func with(index int, names string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("X-Consul-Index", fmt.Sprint(index))
		w.Header().Set("X-Consul-Query-Backend", "blocking-query")
		_, _ = io.WriteString(w, instancesOf(names))
	}
}

func instancesOf(names string) string {
	var all []string
	for name := range strings.FieldsSeq(names) {
		all = append(all, fmt.Sprintf(`{"Node":{"Node":%q},"Service":{"ID":"i","Address":%[1]q,"Port":80}}`, name))
	}
	return "[" + strings.Join(all, ",") + "]"
}

// body answers with a status and a body.
func body(status int, text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("X-Consul-Index", "5")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
	}
}

// TestAnswersThatFailChangeNothingForThoseThatFollow has instances that are new in an
// answer that fails, and in the next one, which does not.
func TestAnswersThatFailChangeNothingForThoseThatFollow(t *testing.T) {
	whole := instancesOf("a b c")
	for name, failing := range map[string]func(http.ResponseWriter){
		"cut off":            body(http.StatusOK, whole[:len(whole)-1]),
		"cut off in one":     body(http.StatusOK, whole[:len(whole)-9]),
		"spoilt at the end":  body(http.StatusOK, whole[:len(whole)-1]+",null]"),
		"another kind":       body(http.StatusOK, `{"a":`+whole+`}`),
		"of an error":        body(http.StatusInternalServerError, whole),
		"without a body":     body(http.StatusOK, ""),
		"one of no instance": body(http.StatusOK, whole[:len(whole)-1]+`,{"Node":null}]`),
	} {
		t.Run(name, func(t *testing.T) {
			a := newScriptedAgent(t, with(1, "a"), failing, with(5, "a b c"))
			f := a.watch(t)
			f.Await("a:80", "b:80", "c:80")
			if n := f.Count(); n != 2 {
				t.Errorf("%d reports, want 2", n)
			}
		})
	}
}

// TestAnswerThatMayHideInstancesChangesNothing has an answer with a new instance that
// cannot be checked, and the same again.
func TestAnswerThatMayHideInstancesChangesNothing(t *testing.T) {
	a := newScriptedAgent(t, with(1, "a b"), with(2, "a c"), with(2, "a c"))
	failed := false
	a.authorize = func(w http.ResponseWriter, _ string) {
		if !failed {
			failed = true
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = io.WriteString(w, `[{"Allow":true},{"Allow":true}]`)
	}
	f := a.watch(t)
	f.Await("a:80", "c:80")
	if n := f.Count(); n != 2 {
		t.Errorf("%d reports, want 2", n)
	}
}

// TestOnlyNodesThatVanishAreAskedAbout has instances that are unchanged, whose nodes count
// as there, and one that vanishes because the token may no longer read its node.
func TestOnlyNodesThatVanishAreAskedAbout(t *testing.T) {
	a := newScriptedAgent(t, with(1, "a b c"), with(2, "a b c d"), with(3, "a b d"))
	a.authorize = func(w http.ResponseWriter, _ string) { _, _ = io.WriteString(w, `[{"Allow":true},{"Allow":false}]`) }
	f := a.watch(t)
	err := f.Fails()
	if !strings.Contains(err.Error(), "may not read") || f.Count() != 2 {
		t.Errorf("%d reports, then %v", f.Count(), err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.asked) != 1 || !strings.Contains(a.asked[0], `"c"`) || strings.Contains(a.asked[0], `"a"`) {
		t.Errorf("asked for %q", a.asked)
	}
}

// TestWhatFollowsTheInstancesIsPassedOver has it in two of three answers on one connection.
func TestWhatFollowsTheInstancesIsPassedOver(t *testing.T) {
	a := newScriptedAgent(t,
		body(http.StatusOK, instancesOf("a")+"\n]]"),
		body(http.StatusOK, " "+instancesOf("a b")+strings.Repeat(" ", 200_000)),
		with(6, "a b c"))
	a.watch(t).Await("a:80", "b:80", "c:80")
	if n := a.connections.Load(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

// An agent that refuses ends the watch; the next one begins at another agent.
func TestAgentThatRefusesDoesNotKeepTheOthersFromBeingAsked(t *testing.T) {
	refuses := newScriptedAgent(t, body(http.StatusForbidden, "Permission denied"), body(http.StatusForbidden, "Permission denied"))
	serves := newScriptedAgent(t, with(6, "a"))
	w := consul.Watcher([]string{refuses.Listener.Addr().String(), serves.Listener.Addr().String()}, "echo")
	if err := discoverytest.Follow(t, w).Fails(); !strings.Contains(err.Error(), "Permission denied") {
		t.Errorf("error %v", err)
	}
	discoverytest.Follow(t, w).Await("a:80")
}

func TestBodyOfAnAnswerThatIsAnErrorIsItsText(t *testing.T) {
	a := newScriptedAgent(t, body(http.StatusForbidden, "Permission denied: [{}"))
	if err := a.watch(t).Fails(); !strings.Contains(err.Error(), "Permission denied: [{}") {
		t.Errorf("error %v", err)
	}
}

// takenOver is an agent whose instance another program has taken over. It refuses the
// first question whose instance it is since then.
type takenOver struct {
	mu              sync.Mutex
	notes           string
	taken, refused  bool
	deregistrations int
}

func (a *takenOver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch p := r.URL.Path; {
	case p == "/v1/agent/service/register":
		var service struct{ Check struct{ Notes string } }
		_ = json.NewDecoder(r.Body).Decode(&service)
		a.notes = service.Check.Notes
	case strings.HasPrefix(p, "/v1/agent/check/update"):
	case strings.HasPrefix(p, "/v1/agent/health/service/id/"):
		notes := a.notes
		if a.taken {
			if !a.refused {
				a.refused = true
				http.Error(w, "rate limit exceeded", http.StatusInternalServerError)
				return
			}
			notes = "multipool registration another 1"
		}
		_, _ = fmt.Fprintf(w, `{"Checks":[{"Node":"n","CheckID":"service:echo-10.0.0.1:80","Status":"passing","Notes":%q}]}`, notes)
	case p == "/v1/txn":
		_, _ = io.WriteString(w, `{"Results":[],"Errors":null}`)
	case strings.HasPrefix(p, "/v1/agent/service/deregister"):
		a.deregistrations++
	default: // a change of the instance, which the agent is slow to report
		a.mu.Unlock()
		<-r.Context().Done()
		a.mu.Lock()
	}
}

func TestCloseLeavesTheInstanceOfAnotherAlsoIfTheAgentIsAskedTwice(t *testing.T) {
	a := &takenOver{}
	s := httptest.NewServer(a)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	g, err := discovery.Register(consul.Registrar([]string{s.Listener.Addr().String()}, "echo"), discovery.Endpoint{Addr: "10.0.0.1:80"})
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	a.mu.Lock()
	a.taken = true
	a.mu.Unlock()
	if err := g.Close(t.Context()); err != nil {
		t.Error(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.refused || a.deregistrations > 0 {
		t.Errorf("the agent was asked in vain: %t, deregistrations: %d", a.refused, a.deregistrations)
	}
}
