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

// Conn is a connection that a [Factory] opens. Its type must be comparable with ==, as
// a pointer is. The pool calls its methods only while the connection is not leased.
//
// Deprecated: Use a type of your own with a Close method; [core.Pool] has it as its
// type parameter.
type Conn interface {
	// Close closes the connection.
	//
	// Deprecated: [core.Pool] asks for an io.Closer.
	Close() error
	// Health returns why the connection cannot be used any more, or nil. The pool
	// calls it before each lease, and every 30 s while the connection is idle.
	//
	// Deprecated: Implement [core.HealthChecker] or [core.Peeker].
	Health() error
}

// Factory opens connections to one server.
//
// Deprecated: Use a [core.Dialer].
type Factory interface {
	// NewConnection opens a connection.
	//
	// Deprecated: Use the Dial method of a [core.Dialer].
	NewConnection() (Conn, error)
}

// dialer opens connections with the user's factories.
type dialer struct {
	factory func(server string, timeout time.Duration, tryCount int) Factory
	timeout time.Duration
	tries   int
	conns   *registry
	invalid error // of other fields
}

// Validate reports every mistake in the dialer's fields. [core.New] calls it.
func (d *dialer) Validate() error {
	errs := []error{d.invalid}
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

// Dial implements [core.Dialer]. A factory takes no context, so Dial ignores its own.
func (d *dialer) Dial(_ context.Context, e core.Endpoint) (*conn, error) {
	server := name(e)
	factory := d.factory(server, d.timeout, d.tries)
	if factory == nil {
		return nil, fmt.Errorf("util: SingleFactory returned nil for %s", server)
	}
	user, err := factory.NewConnection()
	if err != nil {
		return nil, fmt.Errorf("util: connecting to %s: %w", server, err)
	}
	if user == nil {
		return nil, fmt.Errorf("util: NewConnection returned nil for %s", server)
	}
	if !reflect.ValueOf(user).Comparable() {
		return nil, errors.Join(
			fmt.Errorf("util: Put cannot find a %T, which is not comparable; NewConnection should return a pointer", user), user.Close())
	}
	c := &conn{user: user, server: server, names: strings.Repeat(server, leaseNames), registry: d.conns}
	d.conns.add(c)
	return c, nil
}

// endpoint returns the endpoint of the server with this name. The address of a URL is
// its host; an attribute keeps the URL.
func endpoint(server string) core.Endpoint {
	_, rest, isURL := strings.Cut(server, "://")
	if !isURL {
		return core.Endpoint{Addr: server}
	}
	host, _, _ := strings.Cut(rest, "/")
	return core.Endpoint{Addr: host, Attrs: map[string]string{urlAttr: server}}
}

// name returns the name of the server that endpoint made e of.
func name(e core.Endpoint) string {
	if url := e.Attrs[urlAttr]; url != "" {
		return url
	}
	return e.Addr
}

const urlAttr = "url"
