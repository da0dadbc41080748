package consul

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/wait"
)

// client makes requests to one agent, over one connection or a few. A request
// that waits for a change keeps others from its connection, so that what must
// not wait has a client of its own; see [shared].
type client struct {
	*api.Client
	config *config
	http   *http.Client
	base   url.URL
	token  string
}

// newClient returns a client for one agent, whose requests have the token, with
// so many connections at most. The caller closes it. It does no I/O.
func newClient(c *config, agent, token string, connections int) (*client, error) {
	network, addr := "tcp", agent
	if path, ok := strings.CutPrefix(agent, "unix:"); ok {
		network, addr, agent = "unix", path, "localhost"
	}
	dialer := net.Dialer{Timeout: c.timeout}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, network, addr)
	}
	transport := &http.Transport{
		// An agent has 200 connections for all programs of a host.
		MaxConnsPerHost:     connections,
		MaxIdleConnsPerHost: connections,
		// No proxy: agents are on the same machine, or listed by their address.
		DialContext: dial,
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dial(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return handshake(ctx, conn, c, addr)
		},
	}
	cl := &client{config: c, http: &http.Client{Transport: bounded{transport}, CheckRedirect: noRedirect}, base: url.URL{Scheme: "http", Host: agent}, token: token}
	if c.tls.Enabled {
		cl.base.Scheme = "https"
	}
	var err error
	cl.Client, err = api.NewClient(&api.Config{
		Address: agent, Scheme: cl.base.Scheme, HttpClient: cl.http, Token: token,
		Datacenter: c.datacenter, Namespace: c.namespace,
	})
	if err != nil {
		cl.close()
		return nil, err
	}
	return cl, nil
}

// handshake reads the certificates anew for each connection, because a shared
// client may outlive them.
func handshake(ctx context.Context, conn net.Conn, c *config, addr string) (net.Conn, error) {
	config, err := c.tls.Load()
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	if config.ServerName == "" {
		if config.ServerName, _, err = net.SplitHostPort(addr); err != nil {
			config.ServerName = addr
		}
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, errTimeout)
	defer cancel()
	secure := tls.Client(conn, config)
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, classify(ctx, err)
	}
	return secure, nil
}

// newOwnClient returns a client with the token of the configuration. Its only
// I/O is reading the token's file.
func newOwnClient(c *config, agent string) (*client, error) {
	token, err := tokenOf(c)
	if err != nil {
		return nil, err
	}
	return newClient(c, agent, token, 1)
}

// tokenOf returns the configured token, or else that of the environment. A token
// that would cross a network in plain text is an error, unless that is allowed.
func tokenOf(c *config) (string, error) {
	token, err := lookUpToken(c)
	if err != nil || token == "" {
		return "", err
	}
	return token, discovery.CheckPlaintext(c.agents, c.tls, c.plaintext)
}

func lookUpToken(c *config) (string, error) {
	if c.credentials.IsSet() {
		return c.credentials.Value()
	}
	if file := os.Getenv(api.HTTPTokenFileEnvName); file != "" {
		return discovery.NewSecret("file:" + file).Value()
	}
	return os.Getenv(api.HTTPTokenEnvName), nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// call makes one request, bounded by the timeout.
func (c *client) call(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.timeout, errTimeout)
	defer cancel()
	return classify(ctx, request(ctx))
}

// do makes a request that Consul's own client does not have, or not with all of
// its answers.
func (c *client) do(ctx context.Context, method, path string, params url.Values, token string, body []byte) (status int, answer []byte, err error) {
	u := c.base
	u.Path, u.RawQuery = path, params.Encode()
	err = c.call(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header = c.Headers()
		if token != "" {
			request.Header.Set("X-Consul-Token", token)
		}
		response, err := c.http.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		status = response.StatusCode
		answer, err = io.ReadAll(io.LimitReader(response.Body, 1<<20))
		answer = bytes.TrimSpace(answer)
		return err
	})
	return status, answer, err
}

var errTimeout = errors.New("no answer in time")

// classify adds the cause of its context's end to an error, and marks the
// errors that retrying cannot help against.
func classify(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(err, cause) {
		return fmt.Errorf("%w (%v)", cause, err) //nolint:errorlint // err only says that a context ended
	}
	if errors.Is(err, errRedirect) || errors.Is(err, errTooLarge) {
		return discovery.Permanent(err)
	}
	if status, ok := errors.AsType[api.StatusError](err); ok {
		switch status.Code {
		case http.StatusForbidden, http.StatusUnauthorized, http.StatusBadRequest:
			return discovery.Permanent(err)
		}
	}
	return err
}

// limiter bounds the rate of requests to one per interval, after a burst.
type limiter struct {
	interval time.Duration
	burst    int
	next     time.Time // of the next request, if none had used the burst
}

// wait waits until the next request may be made, or until ctx ends.
func (l *limiter) wait(ctx context.Context) error {
	now := time.Now()
	if l.next.Before(now) {
		l.next = now
	}
	early := l.next.Sub(now) - time.Duration(l.burst)*l.interval
	l.next = l.next.Add(l.interval)
	return wait.For(ctx, early)
}
