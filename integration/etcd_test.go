package integration

import (
	"context"
	"errors"
	"fmt"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// rawEtcd is etcd by its own client, at these servers.
type rawEtcd struct{ servers []string }

// do runs f with a client. Where it needs a password, it is root.
func (r rawEtcd) do(ctx context.Context, f func(*clientv3.Client) error) error {
	err := r.doAs(ctx, "", f)
	if err != nil && ctx.Err() == nil {
		if err2 := r.doAs(ctx, "root", f); err2 == nil {
			return nil
		}
	}
	return err
}

func (r rawEtcd) doAs(ctx context.Context, user string, f func(*clientv3.Client) error) error {
	conf := clientv3.Config{Endpoints: r.servers, Context: ctx, Logger: zap.NewNop()}
	if user != "" {
		conf.Username, conf.Password = user, "secret"
	}
	c, err := clientv3.New(conf)
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

func (r rawEtcd) put(ctx context.Context, path string, eps ...core.Endpoint) error {
	return r.do(ctx, func(c *clientv3.Client) error {
		for len(eps) > 0 {
			var ops []clientv3.Op
			for _, e := range eps[:min(100, len(eps))] {
				key, value, err := format.GRPCNaming().Encode(path, e)
				if err != nil {
					return err
				}
				ops = append(ops, clientv3.OpPut(path+"/"+key, string(value)))
			}
			if _, err := c.Txn(ctx).Then(ops...).Commit(); err != nil {
				return err
			}
			eps = eps[len(ops):]
		}
		return nil
	})
}

func (r rawEtcd) remove(ctx context.Context, path, addr string) error {
	return r.do(ctx, func(c *clientv3.Client) error {
		_, err := c.Delete(ctx, path+"/"+addr)
		return err
	})
}

func (r rawEtcd) removeRegistered(ctx context.Context, path, addr string) error {
	return r.remove(ctx, path, addr)
}

func (r rawEtcd) replace(ctx context.Context, path, addr string) error {
	return r.do(ctx, func(c *clientv3.Client) error {
		key, value, err := format.GRPCNaming().Encode(path, core.Endpoint{Addr: addr})
		if err != nil {
			return err
		}
		if _, err := c.Delete(ctx, path+"/"+key); err != nil {
			return err
		}
		_, err = c.Put(ctx, path+"/"+key, string(value))
		return err
	})
}

func (r rawEtcd) removeAll(ctx context.Context, path string) error {
	return r.do(ctx, func(c *clientv3.Client) error {
		_, err := c.Delete(ctx, path+"/", clientv3.WithPrefix())
		return err
	})
}

func (r rawEtcd) exists(ctx context.Context, path string) (ok bool, err error) {
	err = r.do(ctx, func(c *clientv3.Client) error {
		got, err := c.Get(ctx, path, clientv3.WithPrefix(), clientv3.WithCountOnly())
		if err == nil {
			ok = got.Count > 0
		}
		return err
	})
	return ok, err
}

func (r rawEtcd) putMalformed(ctx context.Context, path string) error {
	return r.do(ctx, func(c *clientv3.Client) error {
		for i, value := range []string{"", "{", `{"Op":0}`, `{"Op":0,"Addr":"nowhere"}`, "\xff\xfe", `[1,2]`} {
			if _, err := c.Put(ctx, fmt.Sprintf("%s/bad-%d", path, i), value); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r rawEtcd) follow(ctx context.Context, path string, ready chan<- struct{}, seen func()) error {
	return r.do(ctx, func(c *clientv3.Client) error {
		for resp := range c.Watch(ctx, path+"/", clientv3.WithPrefix(), clientv3.WithCreatedNotify()) {
			if resp.Created {
				close(ready)
			} else {
				seen()
			}
		}
		return ctx.Err()
	})
}

// compact drops the history of all keys.
func (r rawEtcd) compact(ctx context.Context) error {
	return r.do(ctx, func(c *clientv3.Client) error {
		got, err := c.Get(ctx, "any")
		if err == nil {
			_, err = c.Compact(ctx, got.Header.Revision, clientv3.WithCompactPhysical())
		}
		return err
	})
}

// restrict turns on access control for all of etcd.
func (r rawEtcd) restrict(ctx context.Context, path string) (restricted, error) {
	const reader = "reader"
	end := clientv3.GetPrefixRangeEnd(path + "/")
	as := func(user string, f func(context.Context, *clientv3.Client) error) func(context.Context) error {
		return func(ctx context.Context) error {
			return r.doAs(ctx, user, func(c *clientv3.Client) error { return f(ctx, c) })
		}
	}
	err := as("", func(ctx context.Context, c *clientv3.Client) error {
		_, err1 := c.RoleAdd(ctx, "root")
		_, err2 := c.UserAdd(ctx, "root", "secret")
		_, err3 := c.UserGrantRole(ctx, "root", "root")
		_, err4 := c.RoleAdd(ctx, reader)
		_, err5 := c.RoleGrantPermission(ctx, reader, path+"/", end, clientv3.PermissionType(clientv3.PermRead))
		_, err6 := c.UserAdd(ctx, "pool", "word")
		_, err7 := c.UserGrantRole(ctx, "pool", reader)
		if err := errors.Join(err1, err2, err3, err4, err5, err6, err7); err != nil {
			return err
		}
		_, err := c.AuthEnable(ctx)
		return err
	})(ctx)
	return restricted{
		userinfo: "pool:word@",
		revoke: as("root", func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.RoleRevokePermission(ctx, reader, path+"/", end)
			return err
		}),
		grant: as("root", func(ctx context.Context, c *clientv3.Client) error {
			_, err := c.RoleGrantPermission(ctx, reader, path+"/", end, clientv3.PermissionType(clientv3.PermRead))
			return err
		}),
		done: func(ctx context.Context) error {
			return errors.Join(
				as("root", func(ctx context.Context, c *clientv3.Client) error {
					_, err := c.AuthDisable(ctx)
					return err
				})(ctx),
				as("", func(ctx context.Context, c *clientv3.Client) error {
					_, err1 := c.UserDelete(ctx, "pool")
					_, err2 := c.UserDelete(ctx, "root")
					_, err3 := c.RoleDelete(ctx, reader)
					_, err4 := c.RoleDelete(ctx, "root")
					return errors.Join(err1, err2, err3, err4)
				})(ctx))
		},
	}, err
}
