package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// rawConsul is Consul by its own client, at this server. It puts entries into
// the catalog, with one node for each path.
type rawConsul struct{ server, token string }

func (r rawConsul) do(ctx context.Context, f func(*api.Client, *api.WriteOptions) error) error {
	conf := api.DefaultConfig()
	conf.Address, conf.Token = r.server, r.token
	c, err := api.NewClient(conf)
	if err != nil {
		return err
	}
	defer conf.Transport.CloseIdleConnections()
	return f(c, (&api.WriteOptions{}).WithContext(ctx))
}

func service(path string) string { return strings.Trim(path, "/") }

func (r rawConsul) put(ctx context.Context, path string, eps ...core.Endpoint) error {
	return r.do(ctx, func(c *api.Client, w *api.WriteOptions) error {
		node := service(path)
		if _, err := c.Catalog().Register(&api.CatalogRegistration{Node: node, Address: "192.0.2.1"}, w); err != nil {
			return err
		}
		for len(eps) > 0 {
			var ops api.TxnOps
			for _, e := range eps[:min(60, len(eps))] {
				s, err := format.NewConsulService(service(path), e)
				if err != nil {
					return err
				}
				ops = append(ops, &api.TxnOp{Service: &api.ServiceTxnOp{Verb: api.ServiceSet, Node: node, Service: api.AgentService{
					ID: s.ID, Service: s.Name, Address: s.Address, Port: s.Port, Tags: s.Tags, Meta: s.Meta,
					Weights: api.AgentWeights{Passing: s.Weights.Passing, Warning: s.Weights.Warning},
				}}})
			}
			ok, resp, _, err := c.Txn().Txn(ops, (&api.QueryOptions{}).WithContext(ctx))
			if err != nil {
				return err
			}
			if !ok {
				return errors.New(resp.Errors[0].What)
			}
			eps = eps[len(ops):]
		}
		return nil
	})
}

func (r rawConsul) remove(ctx context.Context, path, addr string) error {
	return r.do(ctx, func(c *api.Client, w *api.WriteOptions) error {
		s, err := format.NewConsulService(service(path), core.Endpoint{Addr: addr})
		if err != nil {
			return err
		}
		_, err = c.Catalog().Deregister(&api.CatalogDeregistration{Node: service(path), ServiceID: s.ID}, w)
		return err
	})
}

// removeRegistered removes it from the catalog: the agent still has it.
func (r rawConsul) removeRegistered(ctx context.Context, path, addr string) error {
	return r.do(ctx, func(c *api.Client, w *api.WriteOptions) error {
		entries, _, err := c.Catalog().Service(service(path), "", (&api.QueryOptions{RequireConsistent: true}).WithContext(ctx))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if net.JoinHostPort(e.ServiceAddress, strconv.Itoa(e.ServicePort)) == addr {
				_, err := c.Catalog().Deregister(&api.CatalogDeregistration{Node: e.Node, ServiceID: e.ServiceID}, w)
				return err
			}
		}
		return fmt.Errorf("%s is not in the catalog", addr)
	})
}

func (r rawConsul) replace(ctx context.Context, path, addr string) error {
	return r.do(ctx, func(c *api.Client, w *api.WriteOptions) error {
		s, err := format.NewConsulService(service(path), core.Endpoint{Addr: addr})
		if err != nil {
			return err
		}
		if _, err := c.Catalog().Deregister(&api.CatalogDeregistration{Node: service(path), ServiceID: s.ID}, w); err != nil {
			return err
		}
		_, err = c.Catalog().Register(&api.CatalogRegistration{Node: service(path), Address: "192.0.2.1", Service: &api.AgentService{
			ID: s.ID, Service: s.Name, Address: s.Address, Port: s.Port, Tags: s.Tags, Meta: s.Meta,
			Weights: api.AgentWeights{Passing: s.Weights.Passing, Warning: s.Weights.Warning},
		}}, w)
		return err
	})
}

func (r rawConsul) removeAll(ctx context.Context, path string) error {
	return r.do(ctx, func(c *api.Client, w *api.WriteOptions) error {
		_, err := c.Catalog().Deregister(&api.CatalogDeregistration{Node: service(path)}, w)
		return err
	})
}

func (r rawConsul) exists(ctx context.Context, path string) (ok bool, err error) {
	err = r.do(ctx, func(c *api.Client, _ *api.WriteOptions) error {
		got, _, err := c.Catalog().Service(service(path), "", (&api.QueryOptions{}).WithContext(ctx))
		ok = len(got) > 0
		return err
	})
	return ok, err
}

func (r rawConsul) putMalformed(ctx context.Context, path string) error {
	return r.do(ctx, func(c *api.Client, w *api.WriteOptions) error {
		for _, s := range []*api.AgentService{
			{ID: "bad-1", Service: service(path), Address: "127.0.0.1"},
			{ID: "bad-2", Service: service(path), Address: "no such host", Port: 1},
			{ID: "bad-3", Service: service(path), Address: "127.0.0.1", Port: 70000},
		} {
			_, err := c.Catalog().Register(&api.CatalogRegistration{Node: service(path), Address: "192.0.2.1", Service: s}, w)
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func (r rawConsul) follow(ctx context.Context, path string, ready chan<- struct{}, seen func()) error {
	return r.do(ctx, func(c *api.Client, _ *api.WriteOptions) error {
		q := (&api.QueryOptions{}).WithContext(ctx)
		for first := true; ; first = false {
			_, meta, err := c.Health().Service(service(path), "", false, q)
			if err != nil {
				return err
			}
			if first {
				close(ready)
			} else {
				seen()
			}
			q.WaitIndex = meta.LastIndex
		}
	})
}

func (r rawConsul) restrict(ctx context.Context, path string) (restricted, error) {
	const secret = "0b9e2b60-5b1f-4a57-8d0c-6f3d52a9e1c4"
	var policy *api.ACLPolicy
	var token *api.ACLToken
	grant := func(ctx context.Context) error {
		return r.do(ctx, func(c *api.Client, w *api.WriteOptions) (err error) {
			token, _, err = c.ACL().TokenCreate(&api.ACLToken{SecretID: secret, Policies: []*api.ACLLink{{ID: policy.ID}}}, w)
			return err
		})
	}
	revoke := func(ctx context.Context) error {
		return r.do(ctx, func(c *api.Client, w *api.WriteOptions) error {
			_, err := c.ACL().TokenDelete(token.AccessorID, w)
			return err
		})
	}
	err := r.do(ctx, func(c *api.Client, w *api.WriteOptions) (err error) {
		policy, _, err = c.ACL().PolicyCreate(&api.ACLPolicy{
			Name:  service(path),
			Rules: `node_prefix "" { policy = "read" } service "` + service(path) + `" { policy = "read" }`,
		}, w)
		return err
	})
	if err == nil {
		err = grant(ctx)
	}
	return restricted{
		params: "credentials=" + secret,
		revoke: revoke, grant: grant,
		done: func(ctx context.Context) error {
			return r.do(ctx, func(c *api.Client, w *api.WriteOptions) error {
				_, err := c.ACL().PolicyDelete(policy.ID, w)
				return errors.Join(err, revoke(ctx))
			})
		},
	}, err
}
