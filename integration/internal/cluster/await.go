package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Await waits until the registries can be used: each of their servers answers,
// and all agree on a leader. Without a name it waits for all that are containers.
func (c *Cluster) Await(ctx context.Context, registries ...string) error {
	if len(registries) == 0 {
		registries = []string{"zookeeper", "etcd", "consul", "consul-old"}
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var errs []error
		for _, r := range registries {
			errs = append(errs, c.Check(ctx, r))
		}
		err := errors.Join(errs...)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("cluster: not ready: %w (%w)", err, ctx.Err())
		case <-tick.C:
		}
	}
}

// Check says why a registry cannot be used now, or nil.
func (c *Cluster) Check(ctx context.Context, registry string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	switch registry {
	case "zookeeper":
		_, err := c.Leader(ctx, registry)
		return err
	case "etcd":
		for _, addr := range c.Addrs(registry) {
			if body, err := c.get(ctx, addr, "/health"); err != nil {
				return err
			} else if !strings.Contains(body, `"health":"true"`) {
				return fmt.Errorf("cluster: etcd at %s says %s", addr, body)
			}
		}
		return nil
	case "consul", "consul-old":
		for _, addr := range c.Addrs(registry) {
			// Both need a leader, and the latter that the token is known.
			for _, path := range []string{"/v1/catalog/nodes?consistent=1", "/v1/acl/token/self"} {
				if _, err := c.get(ctx, addr, path); err != nil {
					return err
				}
			}
		}
		return nil
	case kubernetes:
		return c.kube.check(ctx)
	default:
		return fmt.Errorf("cluster: there is no registry %s", registry)
	}
}

// Leader returns the service that leads a registry of three of which each
// works; an error if there is none.
func (c *Cluster) Leader(ctx context.Context, registry string) (string, error) {
	if registry == "etcd" {
		return c.etcdLeader(ctx)
	}
	var leaders []string
	for _, s := range services[registry] {
		mode, err := zookeeperMode(ctx, c.addrs[s])
		if err != nil {
			return "", err
		}
		switch mode {
		case "leader":
			leaders = append(leaders, s)
		case "follower":
		default:
			return "", fmt.Errorf("cluster: %s is %q", s, mode)
		}
	}
	if len(leaders) != 1 {
		return "", fmt.Errorf("cluster: leaders of ZooKeeper are %q", leaders)
	}
	return leaders[0], nil
}

// etcdLeader asks the metrics, which need no client.
func (c *Cluster) etcdLeader(ctx context.Context) (string, error) {
	for _, s := range services["etcd"] {
		body, err := c.get(ctx, c.addrs[s], "/metrics")
		if err != nil {
			return "", err
		}
		if slices.Contains(strings.Split(body, "\n"), "etcd_server_is_leader 1") {
			return s, nil
		}
	}
	return "", errors.New("cluster: etcd has no leader")
}

func zookeeperMode(ctx context.Context, addr string) (string, error) {
	answer, err := FourLetters(ctx, addr, "srvr")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(answer) {
		if mode, ok := strings.CutPrefix(line, "Mode: "); ok {
			return strings.TrimSpace(mode), nil
		}
	}
	return "", fmt.Errorf("cluster: ZooKeeper at %s says %q", addr, strings.TrimSpace(answer))
}

// FourLetters asks a ZooKeeper server one of its four-letter commands.
func FourLetters(ctx context.Context, addr, command string) (string, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	if _, err := io.WriteString(conn, command); err != nil {
		return "", err
	}
	answer, err := io.ReadAll(conn)
	return string(answer), err
}

func (c *Cluster) get(ctx context.Context, addr, path string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, http.NoBody)
	if err != nil {
		return "", err
	}
	req.Header.Set("X-Consul-Token", c.token)
	// Connections to servers that tests freeze are not for keeping.
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("cluster: GET %s%s: %s: %s", addr, path, resp.Status, bytes.TrimSpace(body))
	}
	return string(body), err
}
