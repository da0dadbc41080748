package util

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/core"
)

// Conn is a connection as [Factory] makes them, of any type that can be compared
// with ==, as pointers can. Its methods are called by the pool while nobody has it.
type Conn interface {
	Close() error
	// Health says why the connection cannot be used any more, or nil. It is asked
	// every 30 s of a connection that nobody has, and before one is lent that
	// nobody had for a second.
	Health() error
}

// Factory opens connections to one server.
type Factory interface {
	NewConnection() (Conn, error)
}

// dialer opens connections by the user's factories.
type dialer struct {
	factory func(server string, timeout time.Duration, tryCount int) Factory
	timeout time.Duration
	tries   int
	conns   *registry
}

// Validate is called by core.New.
func (d *dialer) Validate() error {
	var errs []error
	if d.factory == nil {
		errs = append(errs, errors.New("SingleFactory is not set"))
	}
	if d.timeout < 0 {
		errs = append(errs, fmt.Errorf("ConnTimeout(%v): must not be negative", d.timeout))
	}
	if d.tries < 0 {
		errs = append(errs, fmt.Errorf("ConnTryCount(%d): must not be negative", d.tries))
	}
	return errors.Join(errs...)
}

// Dial implements core.Dialer. It cannot be interrupted.
func (d *dialer) Dial(_ context.Context, e core.Endpoint) (*conn, error) {
	server := name(e)
	factory := d.factory(server, d.timeout, d.tries)
	if factory == nil {
		return nil, fmt.Errorf("util: SingleFactory made nothing for %s", server)
	}
	user, err := factory.NewConnection()
	if err != nil {
		return nil, fmt.Errorf("util: connecting to %s: %w", server, err)
	}
	if user == nil {
		return nil, fmt.Errorf("util: NewConnection made nothing for %s", server)
	}
	if !reflect.ValueOf(user).Comparable() {
		return nil, errors.Join(
			fmt.Errorf("util: a %T cannot be compared, so that Put would not know it; NewConnection should make a pointer", user), user.Close())
	}
	c := &conn{user: user, server: server, names: strings.Repeat(server, loans), registry: d.conns}
	d.conns.add(c)
	return c, nil
}

// endpoint is the server of that name.
func endpoint(server string) core.Endpoint {
	_, rest, isURL := strings.Cut(server, "://")
	if !isURL {
		return core.Endpoint{Addr: server}
	}
	host, _, _ := strings.Cut(rest, "/")
	return core.Endpoint{Addr: host, Attrs: map[string]string{urlAttr: server}}
}

// name is the reverse of endpoint.
func name(e core.Endpoint) string {
	if url := e.Attrs[urlAttr]; url != "" {
		return url
	}
	return e.Addr
}

const urlAttr = "url"
