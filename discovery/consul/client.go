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
)

// client talks to one agent.
type client struct {
	*api.Client
	config *config
	http   *http.Client
	base   url.URL
	token  string
}

// dial returns a client for one agent, for close to be called. It does no I/O
// but reading files of secrets and certificates.
func dial(c *config, agent string) (*client, error) {
	token, err := tokenOf(c)
	if err != nil {
		return nil, err
	}
	tls, err := c.tls.Config()
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
		MaxIdleConnsPerHost: 2, // one that waits and one that asks
		// Agents are on the same machine, or known by their address: no proxy.
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

// tokenOf returns the token that is configured, else the environment's.
func tokenOf(c *config) (string, error) {
	if c.token.IsSet() {
		return c.token.Value()
	}
	if file := os.Getenv(api.HTTPTokenFileEnvName); file != "" {
		return discovery.NewSecret("file:" + file).Value()
	}
	return os.Getenv(api.HTTPTokenEnvName), nil
}

func (c *client) close() { c.http.CloseIdleConnections() }

// ask makes one request, which has the timeout.
func (c *client) ask(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.config.timeout, errSlow)
	defer cancel()
	return judge(ctx, request(ctx))
}

var errSlow = errors.New("no answer in time")

// judge adds to an error what its context knows, and marks those that only a
// person can help against.
func judge(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(err, cause) {
		return fmt.Errorf("%w (%v)", cause, err) //nolint:errorlint // that a context ended is no news
	}
	if status, ok := errors.AsType[api.StatusError](err); ok {
		switch status.Code {
		case http.StatusForbidden, http.StatusUnauthorized, http.StatusBadRequest:
			return discovery.Permanent(err)
		}
	}
	return err
}

// alive asks whether there is a leader, which any agent can tell.
func (c *client) alive(ctx context.Context) error {
	return c.ask(ctx, func(ctx context.Context) error {
		leader, err := c.Status().LeaderWithQueryOptions((&api.QueryOptions{}).WithContext(ctx))
		if err == nil && leader == "" {
			err = errors.New("the servers have no leader")
		}
		return err
	})
}

// mayRead asks whether the token may read the service. Consul before 1.11
// says nothing of what it has left out of an answer for want of permission.
// Where nobody knows, everybody may.
func (c *client) mayRead(ctx context.Context) (may bool, err error) {
	type question struct{ Resource, Access, Segment string }
	body, err := json.Marshal([]question{{"service", "read", c.config.service}})
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
	may = true
	err = c.ask(ctx, func(ctx context.Context) error {
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
		if response.StatusCode != http.StatusOK { // there are no ACLs, or no such question
			return nil
		}
		var answers []struct{ Allow bool }
		if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&answers); err != nil {
			return err
		}
		may = len(answers) == 1 && answers[0].Allow
		return nil
	})
	return may, err
}

// pacer bounds the rate of requests: burst at once, and then one each gap.
type pacer struct {
	gap   time.Duration
	burst int
	due   time.Time // of the next request, had none come early
}

func (p *pacer) wait(ctx context.Context) error {
	now := time.Now()
	if p.due.Before(now) {
		p.due = now
	}
	early := p.due.Sub(now) - time.Duration(p.burst)*p.gap
	p.due = p.due.Add(p.gap)
	if early <= 0 {
		return ctx.Err()
	}
	pause := time.NewTimer(early)
	defer pause.Stop()
	select {
	case <-pause.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
