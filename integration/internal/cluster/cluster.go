// Package cluster is a test's hold on the containers of
// docker-compose.test.yml: it stops, cuts off and wipes them, and knows when
// they can be used. It needs the docker command, and the environment that
// `integration/cluster env` prints. Kubernetes is no container: its programs are the
// test's own.
package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
)

// The services of the compose file, by registry, in the order of the
// addresses in the environment.
var services = map[string][]string{ //nolint:gochecknoglobals // a constant
	"zookeeper":  {"zookeeper1", "zookeeper2", "zookeeper3"},
	"etcd":       {"etcd1", "etcd2", "etcd3"},
	"consul":     {"consul-server", "consul-agent"},
	"consul-old": {"consul-old-server", "consul-old-agent"},
	"kubernetes": {kubernetes},
}

const kubernetes = "kubernetes"

// Cluster is the containers of one compose project, and an API server of Kubernetes. It
// may lack either.
type Cluster struct {
	name  string
	token string
	addrs map[string]string // host:port of each service
	kube  *Kubernetes
}

// Of returns the cluster that has Kubernetes alone.
func Of(k *Kubernetes) *Cluster { return new(Cluster).With(k) }

// With returns the cluster with Kubernetes as well.
func (c *Cluster) With(k *Kubernetes) *Cluster {
	with := &Cluster{name: c.name, token: c.token, addrs: maps.Clone(c.addrs), kube: k}
	if with.addrs == nil {
		with.addrs = make(map[string]string)
	}
	with.addrs[kubernetes] = k.addr
	return with
}

// Kubernetes returns the API server, or nil.
func (c *Cluster) Kubernetes() *Kubernetes { return c.kube }

// Has reports whether the cluster has a registry.
func (c *Cluster) Has(registry string) bool { return c.addrs[services[registry][0]] != "" }

// FromEnv returns the cluster that the environment names, or an error that
// says what is missing there.
func FromEnv() (*Cluster, error) {
	c := &Cluster{name: os.Getenv("CLUSTER"), token: os.Getenv("CONSUL_HTTP_TOKEN"), addrs: make(map[string]string)}
	if c.name == "" {
		return nil, errors.New("CLUSTER is not set; `integration/cluster env` prints it and more")
	}
	for registry, variables := range map[string][]string{
		"zookeeper":  {"ZOOKEEPER_SERVERS"},
		"etcd":       {"ETCD_ENDPOINTS"},
		"consul":     {"CONSUL_HTTP_ADDR", "CONSUL_AGENT_ADDR"},
		"consul-old": {"CONSUL_OLD_HTTP_ADDR", "CONSUL_OLD_AGENT_ADDR"},
	} {
		var addrs []string
		for _, v := range variables {
			addrs = append(addrs, strings.Split(os.Getenv(v), ",")...)
		}
		if len(addrs) != len(services[registry]) {
			return nil, fmt.Errorf("%s has %d addresses, not %d", strings.Join(variables, "+"), len(addrs), len(services[registry]))
		}
		for i, s := range services[registry] {
			c.addrs[s] = addrs[i]
		}
	}
	return c, nil
}

// Services returns the services of a registry: zookeeper, etcd, consul,
// consul-old or kubernetes.
func (c *Cluster) Services(registry string) []string { return services[registry] }

// Addr returns where a service is published.
func (c *Cluster) Addr(service string) string { return c.addrs[service] }

// Addrs returns where the services of a registry are published.
func (c *Cluster) Addrs(registry string) []string {
	var addrs []string
	for _, s := range services[registry] {
		addrs = append(addrs, c.addrs[s])
	}
	return addrs
}

// Token returns the secret that may do everything in Consul, the old one too.
func (c *Cluster) Token() string { return c.token }

// Pause freezes services: connections stay, and nothing is answered.
func (c *Cluster) Pause(ctx context.Context, services ...string) error {
	return c.each(ctx, services, "pause")
}

// Unpause ends Pause.
func (c *Cluster) Unpause(ctx context.Context, services ...string) error {
	return c.each(ctx, services, "unpause")
}

// Kill ends services as a crash does. What they stored is kept.
func (c *Cluster) Kill(ctx context.Context, services ...string) error {
	return c.each(ctx, services, "kill", "-s", "KILL")
}

// Start starts services that were killed.
func (c *Cluster) Start(ctx context.Context, services ...string) error {
	return c.each(ctx, services, "start")
}

// Disconnect cuts services off from each other and from their clients.
func (c *Cluster) Disconnect(ctx context.Context, services ...string) error {
	for _, s := range services {
		id, err := c.container(ctx, s)
		if err != nil {
			return err
		}
		if _, err := docker(ctx, "network", "disconnect", c.network(), id); err != nil {
			return err
		}
	}
	return nil
}

// Connect ends Disconnect.
func (c *Cluster) Connect(ctx context.Context, services ...string) error {
	for _, s := range services {
		id, err := c.container(ctx, s)
		if err != nil {
			return err
		}
		if _, err := docker(ctx, "network", "connect", "--alias", s, c.network(), id); err != nil {
			return err
		}
	}
	return nil
}

// Wipe replaces services by new ones that know nothing.
func (c *Cluster) Wipe(ctx context.Context, services ...string) error {
	if slices.Equal(services, []string{kubernetes}) {
		return c.kube.do("wipe")
	}
	_, file, _, _ := runtime.Caller(0)
	script := filepath.Join(filepath.Dir(file), "..", "..", "cluster")
	_, err := run(ctx, script, append([]string{"wipe"}, services...)...)
	return err
}

// Exec runs a command in the container of a service and returns what it
// prints.
func (c *Cluster) Exec(ctx context.Context, service string, command ...string) (string, error) {
	id, err := c.container(ctx, service)
	if err != nil {
		return "", err
	}
	return docker(ctx, append([]string{"exec", id}, command...)...)
}

func (c *Cluster) network() string { return c.name + "_default" }

func (c *Cluster) each(ctx context.Context, services []string, command ...string) error {
	if slices.Equal(services, []string{kubernetes}) {
		return c.kube.do(command[0])
	}
	for _, s := range services {
		id, err := c.container(ctx, s)
		if err != nil {
			return err
		}
		command = append(command, id)
	}
	_, err := docker(ctx, command...)
	return err
}

// container finds a service by its labels, since the two versions of compose
// name containers differently.
func (c *Cluster) container(ctx context.Context, service string) (string, error) {
	id, err := docker(ctx, "ps", "-aq",
		"--filter", "label=com.docker.compose.project="+c.name,
		"--filter", "label=com.docker.compose.service="+service)
	if err == nil && id == "" {
		err = fmt.Errorf("cluster: %s has no container %s", c.name, service)
	}
	return id, err
}

func docker(ctx context.Context, args ...string) (string, error) { return run(ctx, "docker", args...) }

func run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...) //nolint:gosec // the test's own commands
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("cluster: %s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(errs.String()))
	}
	return strings.TrimSpace(out.String()), nil
}
