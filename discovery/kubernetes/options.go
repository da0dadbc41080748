package kubernetes

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/option"
	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

// Values of the parameter family.
const (
	familyAny  = "any"
	familyIPv4 = "ipv4"
	familyIPv6 = "ipv6"
	familyBoth = "both"
)

// config has what the arguments, options and parameters of one watcher say.
type config struct {
	namespace, service string
	port               string // a name or a number; empty for the only one
	kubeconfig         string
	context            string
	rest               *rest.Config // instead of both
	admission          discovery.Admission
	onSkipped          func(key string, err error)
	timeout            time.Duration
	family             string

	params *discovery.Params // declare the fields above
	err    error             // mistakes in the arguments or the URL
}

// Option sets one parameter of a watcher.
type Option func(*config)

// Kubeconfig sets the file that says where the API server is, and who asks. The
// default is $KUBECONFIG, then ~/.kube/config, and where neither is there, the service
// account of the pod. The file is read at each call of Watch.
func Kubeconfig(file string) Option { return func(c *config) { c.kubeconfig = file } }

// Context sets the context of the kubeconfig. The default is its current one.
func Context(name string) Option { return func(c *config) { c.context = name } }

// WithConfig sets a configuration of client-go, instead of a kubeconfig and the service
// account. It must not be modified afterwards. Its limits of requests and its Timeout
// do not count.
func WithConfig(r *rest.Config) Option { return func(c *config) { c.rest = r } }

// Allow sets which endpoints the slices may name, in the rules of
// [discovery.Admission]: an address, a prefix or a name, with or without ports.
// Without rules these are all. Further ones add to it.
func Allow(rules ...string) Option { return func(c *config) { c.admission.Allow(rules...) } }

// Deny sets which endpoints the slices may not name, in the same rules. What both
// match is denied.
func Deny(rules ...string) Option { return func(c *config) { c.admission.Deny(rules...) } }

// OnSkipped sets a function to call with the name of each EndpointSlice that is
// malformed, wholly or in part, and why, once for each version of the slice. The
// goroutine of Watch calls it and waits for it.
func OnSkipped(f func(key string, err error)) Option { return func(c *config) { c.onSkipped = f } }

// Timeout sets how long the API server may take to answer, connecting included, and
// to send the slices. A silent connection is checked at the same interval if it is of
// HTTP/2, as API servers have it; one of HTTP/1.1 ends after ten minutes. The timeout
// is from 100 ms to 1 min, and 5 s by default.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// WithFamily sets which addresses count: "ipv4", "ipv6", "both", or "any", the
// default: the IPv4 addresses and names, or the IPv6 addresses of a Service that has
// no others, so that a pod with one of each is one server.
func WithFamily(family string) Option { return func(c *config) { c.family = family } }

// declare declares the fields as parameters, which gives them their defaults.
func (c *config) declare(p *discovery.Params) {
	c.params = p
	p.String(&c.kubeconfig, "kubeconfig", "", "file that says where the API server is; empty means $KUBECONFIG, ~/.kube/config or the pod's service account")
	p.String(&c.context, "context", "", "context of the kubeconfig, instead of the URL's host; for a name that no host has")
	p.Admission(&c.admission)
	p.Timeout(&c.timeout)
	p.Enum(&c.family, "family", familyAny, []string{familyAny, familyIPv4, familyIPv6, familyBoth},
		"which addresses count; any is IPv4, or IPv6 where there is no IPv4")
}

func newConfig(service string, opts []Option) *config {
	c := &config{}
	c.declare(&discovery.Params{})
	wrong := option.Apply(c, opts)
	c.err = errors.Join(c.place(service), wrong)
	return c
}

// place sets what is watched: "namespace/service" or "namespace/service:port".
func (c *config) place(path string) error {
	namespace, service, ok := strings.Cut(path, "/")
	if !ok {
		return fmt.Errorf("%q is not namespace/service:port", brief.Clip(path))
	}
	service, port, hasPort := strings.Cut(service, ":")
	c.namespace, c.service, c.port = namespace, service, port
	errs := []error{wrongLabel("namespace", namespace), wrongLabel("service", service)}
	if n, err := strconv.Atoi(port); err == nil {
		if n < 1 || n > 65535 {
			errs = append(errs, fmt.Errorf("the port %d is not from 1 to 65535", n))
		}
	} else if hasPort {
		errs = append(errs, wrongLabel("port", port))
	}
	return errors.Join(errs...)
}

// wrongLabel returns why s is not the name of an object in Kubernetes, or nil.
func wrongLabel(what, s string) error {
	if why := validation.IsDNS1123Label(s); len(why) > 0 {
		return fmt.Errorf("the %s %q: %s", what, brief.Clip(s), why[0])
	}
	return nil
}

// where returns what is watched, as the watcher got it.
func (c *config) where() string {
	if c.port == "" {
		return c.namespace + "/" + c.service
	}
	return c.namespace + "/" + c.service + ":" + c.port
}

// validate reports every mistake. It connects to nothing.
func (c *config) validate() error {
	errs := []error{c.err, c.params.Validate()}
	if c.rest != nil && (c.kubeconfig != "" || c.context != "") {
		errs = append(errs, errors.New("a configuration of client-go replaces kubeconfig and context"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	if _, err := c.load(); err != nil {
		return fmt.Errorf("kubernetes: %w", err)
	}
	return nil
}

// counts reports whether addresses of the family count, v6 or not; with any, those
// of IPv6 do as long as there are no others.
func (c *config) counts(v6 bool) bool {
	families := []string{familyAny, familyBoth, familyIPv4}
	if v6 {
		families[2] = familyIPv6
	}
	return slices.Contains(families, c.family)
}
