package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/minicaptain/multi_connection_pool/core"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/kubernetes"
	"github.com/minicaptain/multi_connection_pool/integration/internal/cluster"
)

const (
	namespace = "multipool"
	sliceSize = 1000 // which the API server takes at most
	// An EndpointSlice cannot have a loopback address. The fleet, which is on one, is
	// listed at this one (RFC 5737), and taken back by the watcher of loopback.
	fleetHost, listedHost = "127.0.0.1", "192.0.2.1"
)

// loopback opens k8s URLs whose endpoints at listedHost are at fleetHost.
type loopback struct{ discovery.Backend }

func openLoopback(p *discovery.Params) discovery.Backend { return loopback{kubernetes.Opener(p)} }

func (l loopback) Watcher(u *discovery.URL) (discovery.Watcher, error) {
	w, err := l.Backend.Watcher(u)
	return loopbackWatcher{w}, err
}

type loopbackWatcher struct{ discovery.Watcher }

func (w loopbackWatcher) Watch(ctx context.Context, report func([]discovery.Endpoint)) error {
	return w.Watcher.Watch(ctx, func(set []discovery.Endpoint) {
		set = slices.Clone(set)
		for i := range set {
			if port, ok := strings.CutPrefix(set[i].Addr, listedHost+":"); ok {
				set[i].Addr = net.JoinHostPort(fleetHost, port)
			}
		}
		report(set)
	})
}

// kubernetesURL is registry.url of Kubernetes. Where the API server is, and who asks, is
// in a kubeconfig.
func kubernetesURL(k *cluster.Kubernetes) func(userinfo string, hosts []string, path, params string) string {
	return func(_ string, hosts []string, path, params string) string {
		file := filepath.Join(filepath.Dir(k.CA()), "kubeconfig-"+hosts[0])
		conf := fmt.Sprintf(`{"apiVersion": "v1", "kind": "Config", "current-context": "follower",
			"clusters": [{"name": "c", "cluster": {"server": "https://%s", "certificate-authority": %q}}],
			"users": [{"name": "follower", "user": {"token": %q}}, {"name": "restricted", "user": {"token": %q}}],
			"contexts": [{"name": "follower", "context": {"cluster": "c", "user": "follower"}}, {"name": "restricted", "context": {"cluster": "c", "user": "restricted"}}]}`,
			hosts[0], k.CA(), cluster.FollowerToken, cluster.RestrictedToken)
		if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
			return "k8s://" + err.Error() // which is no URL
		}
		if params != "" {
			params = "&" + params
		}
		return "k8s:///" + namespace + "/" + service(path) + ":p?timeout=1s&kubeconfig=" + file + params
	}
}

// rawKubernetes is the API server by client-go's own client. It has no controller: this
// writes the slices.
type rawKubernetes struct{ k *cluster.Kubernetes }

var scheme = func() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, rbacv1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err)
		}
	}
	return s
}()

const (
	slicesPath   = "/apis/discovery.k8s.io/v1/namespaces/" + namespace + "/endpointslices"
	bindingsPath = "/apis/rbac.authorization.k8s.io/v1/namespaces/" + namespace + "/rolebindings"
	rolesPath    = "/apis/rbac.authorization.k8s.io/v1/namespaces/" + namespace + "/roles"
)

func (r rawKubernetes) client(token string) (rest.Interface, error) {
	conf := r.k.Config(token)
	conf.NegotiatedSerializer, conf.QPS, conf.WarningHandler = serializer.NewCodecFactory(scheme).WithoutConversion(), -1, rest.NoWarnings{}
	client, err := r.k.Client(token)
	if err != nil {
		return nil, err
	}
	return rest.UnversionedRESTClientForConfigAndClient(conf, client)
}

func (r rawKubernetes) do(f func(rest.Interface) error) error {
	c, err := r.client(cluster.AdminToken)
	if err != nil {
		return err
	}
	return f(c)
}

// create creates an object unless it is there.
func create(ctx context.Context, c rest.Interface, path string, o runtime.Object) error {
	err := c.Post().AbsPath(path).Body(o).Do(ctx).Error()
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	return err
}

// begin makes the namespace, and lets the follower watch it. A wiped server needs that
// again.
func (r rawKubernetes) begin(ctx context.Context) error {
	return r.do(func(c rest.Interface) error {
		err := create(ctx, c, "/api/v1/namespaces", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})
		return errors.Join(err, create(ctx, c, rolesPath, &rbacv1.Role{
			ObjectMeta: metav1.ObjectMeta{Name: "follower"},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}}},
		}), r.allow(ctx, "follower", cluster.FollowerToken))
	})
}

// allow lets a user watch, and waits until the API server knows.
func (r rawKubernetes) allow(ctx context.Context, user, token string) error {
	return r.do(func(c rest.Interface) error {
		err := create(ctx, c, bindingsPath, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: user},
			RoleRef:    rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: "Role", Name: "follower"},
			Subjects:   []rbacv1.Subject{{APIGroup: "rbac.authorization.k8s.io", Kind: "User", Name: user}},
		})
		return errors.Join(err, r.awaitAccess(ctx, token, true))
	})
}

func (r rawKubernetes) awaitAccess(ctx context.Context, token string, may bool) error {
	c, err := r.client(token)
	if err != nil {
		return err
	}
	for {
		err := c.Get().AbsPath(slicesPath).Do(ctx).Error()
		if err == nil && may || apierrors.IsForbidden(err) && !may {
			return nil
		}
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		}
	}
}

func (r rawKubernetes) list(ctx context.Context, c rest.Interface, path string) (*discoveryv1.EndpointSliceList, error) {
	list := &discoveryv1.EndpointSliceList{}
	return list, c.Get().AbsPath(slicesPath).Param("labelSelector", discoveryv1.LabelServiceName+"="+service(path)).Do(ctx).Into(list)
}

// newSlice returns a slice of one port.
func newSlice(path, name string, port int32) *discoveryv1.EndpointSlice {
	p := "p"
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service(path)}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: &p, Port: &port}},
	}
}

// split returns the host and the port as a slice has them.
func split(addr string) (string, int32, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, err
	}
	n, err := strconv.ParseInt(port, 10, 32)
	if host == fleetHost {
		host = listedHost
	}
	return host, int32(n), err
}

func (r rawKubernetes) put(ctx context.Context, path string, eps ...core.Endpoint) error {
	return r.do(func(c rest.Interface) error {
		list, err := r.list(ctx, c, path)
		if err != nil {
			return err
		}
		var all, changed []*discoveryv1.EndpointSlice
		for i := range list.Items {
			if len(list.Items[i].Ports) == 1 && *list.Items[i].Ports[0].Name == "p" {
				all = append(all, &list.Items[i])
			}
		}
		for _, e := range eps {
			host, port, err := split(e.Addr)
			if err != nil {
				return err
			}
			i := slices.IndexFunc(all, func(s *discoveryv1.EndpointSlice) bool {
				return s.Ports[0].Port != nil && *s.Ports[0].Port == port && len(s.Endpoints) < sliceSize
			})
			if i < 0 {
				i, all = len(all), append(all, newSlice(path, fmt.Sprintf("%s-%d", service(path), len(all)), port))
			}
			all[i].Endpoints = append(all[i].Endpoints, discoveryv1.Endpoint{Addresses: []string{host}})
			if !slices.Contains(changed, all[i]) {
				changed = append(changed, all[i])
			}
		}
		for _, s := range changed {
			err = errors.Join(err, write(ctx, c, s))
		}
		return err
	})
}

// write creates a slice, or changes one that was read.
func write(ctx context.Context, c rest.Interface, s *discoveryv1.EndpointSlice) error {
	if s.ResourceVersion == "" {
		return c.Post().AbsPath(slicesPath).Body(s).Do(ctx).Error()
	}
	return c.Put().AbsPath(slicesPath, s.Name).Body(s).Do(ctx).Error()
}

func (r rawKubernetes) remove(ctx context.Context, path, addr string) error {
	return r.do(func(c rest.Interface) error {
		host, port, err := split(addr)
		if err != nil {
			return err
		}
		list, err := r.list(ctx, c, path)
		for i := range list.Items {
			s := &list.Items[i]
			if len(s.Ports) != 1 || s.Ports[0].Port == nil || *s.Ports[0].Port != port {
				continue
			}
			before := len(s.Endpoints)
			s.Endpoints = slices.DeleteFunc(s.Endpoints, func(e discoveryv1.Endpoint) bool { return e.Addresses[0] == host })
			if len(s.Endpoints) < before {
				err = errors.Join(err, write(ctx, c, s))
			}
		}
		return err
	})
}

func (r rawKubernetes) removeRegistered(ctx context.Context, path, addr string) error {
	return r.remove(ctx, path, addr)
}

func (r rawKubernetes) replace(ctx context.Context, path, addr string) error {
	return errors.Join(r.remove(ctx, path, addr), r.put(ctx, path, core.Endpoint{Addr: addr}))
}

func (r rawKubernetes) removeAll(ctx context.Context, path string) error {
	return r.do(func(c rest.Interface) error {
		return c.Delete().AbsPath(slicesPath).Param("labelSelector", discoveryv1.LabelServiceName+"="+service(path)).Do(ctx).Error()
	})
}

func (r rawKubernetes) exists(ctx context.Context, path string) (ok bool, err error) {
	err = r.do(func(c rest.Interface) error {
		list, err := r.list(ctx, c, path)
		ok = len(list.Items) > 0
		return err
	})
	return ok, err
}

// putMalformed adds slices that the API server lets pass: without ports, with another
// one, and with one without a number.
func (r rawKubernetes) putMalformed(ctx context.Context, path string) error {
	return r.do(func(c rest.Interface) (err error) {
		for i, change := range []func(*discoveryv1.EndpointSlice){
			func(s *discoveryv1.EndpointSlice) { s.Ports = nil },
			func(s *discoveryv1.EndpointSlice) { other := "other"; s.Ports[0].Name = &other },
			func(s *discoveryv1.EndpointSlice) { s.Ports[0].Port = nil },
		} {
			s := newSlice(path, fmt.Sprintf("%s-malformed-%d", service(path), i), 9090)
			s.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.9.9.9"}}}
			change(s)
			err = errors.Join(err, write(ctx, c, s))
		}
		return err
	})
}

func (r rawKubernetes) follow(ctx context.Context, path string, ready chan<- struct{}, seen func()) error {
	return r.do(func(c rest.Interface) error {
		list, err := r.list(ctx, c, path)
		if err != nil {
			return err
		}
		w, err := c.Get().AbsPath(slicesPath).Param("watch", "true").Param("labelSelector", discoveryv1.LabelServiceName+"="+service(path)).
			Param("resourceVersion", list.ResourceVersion).Watch(ctx)
		if err != nil {
			return err
		}
		defer w.Stop()
		close(ready)
		for range w.ResultChan() {
			seen()
		}
		return ctx.Err()
	})
}

// compact drops the history of the API server's etcd. The API server has some of it in
// its cache.
func (r rawKubernetes) compact(ctx context.Context) error {
	return rawEtcd{[]string{r.k.EtcdAddr()}}.compact(ctx)
}

// restrict lets another user watch, all paths.
func (r rawKubernetes) restrict(ctx context.Context, _ string) (restricted, error) {
	const user = "restricted"
	grant := func(ctx context.Context) error { return r.allow(ctx, user, cluster.RestrictedToken) }
	remove := func(ctx context.Context) error {
		return r.do(func(c rest.Interface) error {
			if err := c.Delete().AbsPath(bindingsPath, user).Do(ctx).Error(); !apierrors.IsNotFound(err) {
				return err
			}
			return nil
		})
	}
	return restricted{
		params: "context=" + user,
		revoke: func(ctx context.Context) error {
			return errors.Join(remove(ctx), r.awaitAccess(ctx, cluster.RestrictedToken, false))
		},
		grant: grant,
		done:  remove,
	}, grant(ctx)
}
