package consul_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/discoverytest"
)

// permission is a token whose policy the test changes.
type permission struct {
	t      *testing.T
	db     *api.Client
	policy *api.ACLPolicy
	secret string
}

func newPermission(t *testing.T, db *api.Client, rules string) *permission {
	t.Helper()
	if _, _, err := db.ACL().TokenReadSelf(nil); err != nil {
		t.Skipf("this Consul has no access control: %v", err)
	}
	policy, _, err := db.ACL().PolicyCreate(&api.ACLPolicy{Name: newService(), Rules: rules}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.ACL().PolicyDelete(policy.ID, nil) })
	token, _, err := db.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: policy.ID}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = db.ACL().TokenDelete(token.AccessorID, nil) })
	return &permission{t, db, policy, token.SecretID}
}

func (p *permission) set(rules string) {
	p.t.Helper()
	changed := *p.policy
	changed.Rules = rules
	if _, _, err := p.db.ACL().PolicyUpdate(&changed, nil); err != nil {
		p.t.Fatal(err)
	}
}

// TestTokenThatLosesPermissionInMidWatchIsAnErrorAndNeverASmallerSet has Consul
// leave out some or all of four instances on as many nodes. A Watch that begins
// then has to fail as well, since nobody sees its first set as a smaller one.
func TestTokenThatLosesPermissionInMidWatchIsAnErrorAndNeverASmallerSet(t *testing.T) {
	const all = `node_prefix "" { policy = "read" } `
	for name, rules := range map[string]func(service string) string{
		"of one node": func(service string) string {
			return all + fmt.Sprintf(`node "%[1]s-10.0.0.2" { policy = "deny" } service "%[1]s" { policy = "read" }`, service)
		},
		"of all nodes but one": func(service string) string {
			return fmt.Sprintf(`node "%[1]s-10.0.0.2" { policy = "read" } service "%[1]s" { policy = "read" }`, service)
		},
		"of all nodes":   func(service string) string { return fmt.Sprintf(`service "%s" { policy = "read" }`, service) },
		"of the service": func(string) string { return all },
		"of everything":  func(string) string { return `key "nothing" { policy = "read" }` },
	} {
		for _, cause := range []string{"the wait ends", "an instance comes", "an instance goes"} {
			t.Run(name+", "+cause, func(t *testing.T) {
				addr := server(t)
				db, service := raw(t, addr), newService()
				whole := all + `service "` + service + `" { policy = "read" }`
				p := newPermission(t, db, whole)
				for i := range 4 {
					instance(t, db, service, fmt.Sprint("10.0.0.", i), api.HealthPassing)
				}
				wait := time.Minute
				if cause == "the wait ends" {
					wait = time.Second
				}
				w := consul.Watcher([]string{addr}, service, consul.Wait(wait), consul.WithCredentials(discovery.NewSecret(p.secret)))
				f := discoverytest.Follow(t, w)
				f.AwaitLen(4)
				p.set(rules(service))
				want := 4
				switch cause {
				case "an instance comes":
					instance(t, db, service, "10.0.0.4", api.HealthPassing)
					want = 5
				case "an instance goes":
					if _, err := db.Catalog().Deregister(&api.CatalogDeregistration{Node: service + "-10.0.0.0"}, nil); err != nil {
						t.Fatal(err)
					}
					want = 3
				}
				if err := f.Fails(); !strings.Contains(err.Error(), "may not read") {
					t.Errorf("error %v", err)
				}
				if n := f.Count(); n != 1 {
					t.Errorf("%d reports, want none after the first", n)
				}
				f = discoverytest.Follow(t, w)
				if err := f.Fails(); f.Count() > 0 {
					t.Errorf("the next Watch made a report before %v", err)
				}
				p.set(whole)
				discoverytest.Follow(t, w).AwaitLen(want)
			})
		}
	}
}

// TestNodeThatIsGoneNeedsNoPermission is the other side: what vanishes is gone,
// not hidden, when the token may still read it.
func TestInstancesThatGoWithTheirNodesAreNoLackOfPermission(t *testing.T) {
	addr := server(t)
	db, service := raw(t, addr), newService()
	p := newPermission(t, db, fmt.Sprintf(`node_prefix "%[1]s" { policy = "read" } service "%[1]s" { policy = "read" }`, service))
	for i := range 4 {
		instance(t, db, service, fmt.Sprint("10.0.0.", i), api.HealthPassing)
	}
	f := discoverytest.Follow(t, consul.Watcher([]string{addr}, service, consul.WithCredentials(discovery.NewSecret(p.secret))))
	for n := 4; n > 0; n-- {
		f.AwaitLen(n)
		if _, err := db.Catalog().Deregister(&api.CatalogDeregistration{Node: fmt.Sprint(service, "-10.0.0.", n-1)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	f.Await()
}
