package integration

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	client "github.com/go-zookeeper/zk"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// rawZooKeeper is ZooKeeper by its own client, at these servers.
type rawZooKeeper struct{ servers []string }

type silent struct{}

func (silent) Printf(string, ...any) {}

const rawAuth = "operator:secret"

// do runs f with a connection, which it closes when ctx ends.
func (r rawZooKeeper) do(ctx context.Context, f func(*client.Conn) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// The client's Close does not wake it from waiting for a hung server's
	// first answer; closing the socket does.
	dial := func(network, addr string, timeout time.Duration) (net.Conn, error) {
		d := net.Dialer{Timeout: timeout}
		c, err := d.DialContext(ctx, network, addr)
		if err == nil {
			context.AfterFunc(ctx, func() { _ = c.Close() })
		}
		return c, err
	}
	conn, events, err := client.Connect(r.servers, 10*time.Second, client.WithLogger(silent{}), client.WithDialer(dial))
	if err != nil {
		return err
	}
	var once sync.Once
	end := func() { once.Do(conn.Close) }
	stop := context.AfterFunc(ctx, end)
	defer func() {
		stop()
		end()
		cancel()
		for range events { // until it has ended
		}
	}()
	if err := conn.AddAuth("digest", []byte(rawAuth)); err != nil {
		return err
	}
	return f(conn)
}

func (r rawZooKeeper) put(ctx context.Context, path string, eps ...core.Endpoint) error {
	return r.putAs(ctx, format.PlainKey(), path, eps...)
}

func (r rawZooKeeper) putAs(ctx context.Context, f format.Format, path string, eps ...core.Endpoint) error {
	return r.do(ctx, func(conn *client.Conn) error {
		acl := client.WorldACL(client.PermAll)
		if _, err := conn.Create(path, nil, 0, acl); err != nil && !errors.Is(err, client.ErrNodeExists) {
			return err
		}
		var wg sync.WaitGroup
		errs := make([]error, 16) // of as many at a time
		for i := range errs {
			wg.Go(func() {
				for j := i; j < len(eps) && errs[i] == nil; j += len(errs) {
					var name string
					var data []byte
					if name, data, errs[i] = f.Encode(path, eps[j]); errs[i] == nil {
						_, errs[i] = conn.Create(path+"/"+name, data, 0, acl)
					}
				}
			})
		}
		wg.Wait()
		return errors.Join(errs...)
	})
}

func (r rawZooKeeper) remove(ctx context.Context, path, addr string) error {
	return r.do(ctx, func(conn *client.Conn) error { return conn.Delete(path+"/"+addr, -1) })
}

func (r rawZooKeeper) removeRegistered(ctx context.Context, path, addr string) error {
	return r.remove(ctx, path, addr)
}

func (r rawZooKeeper) replace(ctx context.Context, path, addr string) error {
	return r.do(ctx, func(conn *client.Conn) error {
		if err := conn.Delete(path+"/"+addr, -1); err != nil {
			return err
		}
		_, err := conn.Create(path+"/"+addr, nil, 0, client.WorldACL(client.PermAll))
		return err
	})
}

func (r rawZooKeeper) removeAll(ctx context.Context, path string) error {
	return r.do(ctx, func(conn *client.Conn) error {
		children, _, err := conn.Children(path)
		if errors.Is(err, client.ErrNoNode) {
			return nil
		}
		if err != nil {
			return err
		}
		for len(children) > 0 { // in as few transactions as fit
			var ops []any
			for _, c := range children[:min(1000, len(children))] {
				ops = append(ops, &client.DeleteRequest{Path: path + "/" + c, Version: -1})
			}
			if _, err := conn.Multi(ops...); err != nil {
				return err
			}
			children = children[len(ops):]
		}
		return conn.Delete(path, -1)
	})
}

func (r rawZooKeeper) exists(ctx context.Context, path string) (ok bool, err error) {
	err = r.do(ctx, func(conn *client.Conn) error {
		ok, _, err = conn.Exists(path)
		return err
	})
	return ok, err
}

func (r rawZooKeeper) putMalformed(ctx context.Context, path string) error {
	return r.do(ctx, func(conn *client.Conn) error {
		for _, name := range []string{"lock-0000000001", "127.0.0.1", "127.0.0.1:http", "%zz", strings.Repeat("x", 2000)} {
			if _, err := conn.Create(path+"/"+name, []byte("{"), 0, client.WorldACL(client.PermAll)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (r rawZooKeeper) follow(ctx context.Context, path string, ready chan<- struct{}, seen func()) error {
	return r.do(ctx, func(conn *client.Conn) error {
		for first := true; ; first = false {
			_, _, changed, err := conn.ChildrenW(path)
			if err != nil {
				return err
			}
			if first {
				close(ready)
			} else {
				seen()
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

func (r rawZooKeeper) restrict(ctx context.Context, path string) (restricted, error) {
	set := func(acl []client.ACL) func(context.Context) error {
		return func(ctx context.Context) error {
			return r.do(ctx, func(conn *client.Conn) error {
				_, err := conn.SetACL(path, acl, -1)
				return err
			})
		}
	}
	operator := client.DigestACL(client.PermAll, "operator", "secret")
	grant := set(append(client.DigestACL(client.PermRead, "pool", "word"), operator...))
	err := r.do(ctx, func(conn *client.Conn) error {
		_, err := conn.Create(path, nil, 0, client.WorldACL(client.PermAll))
		return err
	})
	return restricted{
		userinfo: "pool:word@",
		revoke:   set(operator),
		grant:    grant,
		done:     func(context.Context) error { return nil },
	}, errors.Join(err, grant(ctx))
}
