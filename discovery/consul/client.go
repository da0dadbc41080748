package consul

import (
	"bytes"
	"context"
	"encoding/json"
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

// client makes requests to one agent.
type client struct {
	*api.Client
	config *config
	http   *http.Client
	base   url.URL
	token  string
}

// newClient returns a client for one agent. The caller closes it. Its only I/O
// is reading the files of secrets and certificates.
func newClient(c *config, agent string) (*client, error) {
	token, err := tokenOf(c)
	if err != nil {
		return nil, err
	}
	tls, err := c.tls.Load()
	if err != nil {
		return nil, err
	}
	network, addr := "tcp", agent
	if path, ok := strings.CutPrefix(agent, "unix:"); ok {
		network, addr, agent = "unix", path, "localhost"
	}
	dialer := net.Dialer{Timeout: c.timeout}
	transport := &http.Transport{
		TLSClientConfig:     tls,
		TLSHandshakeTimeout: c.timeout,
		MaxIdleConnsPerHost: 2, // one for a request that waits, one for a check
		// No proxy: agents are on the same machine, or listed by their address.
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, addr)
		},
	}
	cl := &client{config: c, http: &http.Client{Transport: transport}, base: url.URL{Scheme: "http", Host: agent}}
	if tls != nil {
		cl.base.Scheme = "https"
	}
	cl.Client, err = api.NewClient(&api.Config{
		Address: agent, Scheme: cl.base.Scheme, HttpClient: cl.http, Token: token,
		Datacenter: c.datacenter, Namespace: c.namespace,
	})
	if err != nil {
		cl.close()
		return nil, err
	}
	cl.token = token
	return cl, nil
}

// tokenOf returns the configured token, or else that of the environment.
func tokenOf(c *config) (string, error) {
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
	if status, ok := errors.AsType[api.StatusError](err); ok {
		switch status.Code {
		case http.StatusForbidden, http.StatusUnauthorized, http.StatusBadRequest:
			return discovery.Permanent(err)
		}
	}
	return err
}

// checkLeader returns an error if the agent does not answer or knows of no
// leader.
func (c *client) checkLeader(ctx context.Context) error {
	return c.call(ctx, func(ctx context.Context) error {
		leader, err := c.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
		if err == nil && leader == "" {
			err = errors.New("the servers have no leader")
		}
		return err
	})
}

// canRead reports whether the token may read the service. Consul before 1.11
// leaves out of an answer, silently, what the token may not read. canRead
// returns true if Consul cannot tell.
func (c *client) canRead(ctx context.Context) (can bool, err error) {
	type permission struct{ Resource, Access, Segment string }
	body, err := json.Marshal([]permission{{"service", "read", c.config.service}})
	if err != nil {
		return false, err
	}
	u := c.base
	u.Path = "/v1/internal/acl/authorize"
	query := url.Values{}
	for name, value := range map[string]string{"dc": c.config.datacenter, "ns": c.config.namespace} {
		if value != "" {
			query.Set(name, value)
		}
	}
	u.RawQuery = query.Encode()
	can = true
	err = c.call(ctx, func(ctx context.Context) error {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
		if err != nil {
			return err
		}
		request.Header = c.Headers()
		if c.token != "" {
			request.Header.Set("X-Consul-Token", c.token)
		}
		response, err := c.http.Do(request)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK { // Consul has no ACLs, or does not answer this request
			return nil
		}
		var answers []struct{ Allow bool }
		if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answers); err != nil {
			return err
		}
		can = len(answers) == 1 && answers[0].Allow
		return nil
	})
	return can, err
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
