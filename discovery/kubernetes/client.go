package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/transport"
	"k8s.io/client-go/util/connrotation"
)

// maxAnswer bounds what the API server may send for one list or event, in bytes: slices
// of a hundred thousand endpoints have that many.
const maxAnswer = 32 << 20

// load returns the configuration of the connection. It connects to nothing.
func (c *config) load() (*rest.Config, error) {
	if c.rest != nil {
		return rest.CopyConfig(c.rest), nil
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = c.kubeconfig
	r, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: c.context}).ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, errors.New("there is no kubeconfig, and the program does not run in a pod with a service account")
	}
	return r, err
}

// client asks one API server for EndpointSlices. It has a connection of its own:
// those of client-go stay open when nobody needs them any more.
type client struct {
	*config

	rest  *rest.RESTClient
	codec runtime.ParameterCodec
	conns *connections
}

func newClient(c *config) (*client, error) {
	r, err := c.load()
	if err != nil {
		return nil, err
	}
	// The group that is needed, and not the fifty of client-go's own scheme.
	scheme := runtime.NewScheme()
	if err := discoveryv1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	r.APIPath, r.GroupVersion = "/apis", &discoveryv1.SchemeGroupVersion
	r.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	r.ContentType = runtime.ContentTypeProtobuf
	r.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	r.QPS, r.RateLimiter = -1, nil // discovery.Retry pauses
	r.WarningHandler, r.WarningHandlerWithContext = rest.NoWarnings{}, nil

	conf, err := r.TransportConfig()
	if err != nil {
		return nil, err
	}
	base := conf.Transport
	conns := newConnections()
	if base == nil {
		if base, err = c.newTransport(conf, conns); err != nil {
			return nil, err
		}
	}
	wrapped, err := transport.HTTPWrappersForConfig(conf, bounded{base})
	if err != nil {
		return nil, err
	}
	api, err := rest.RESTClientForConfigAndClient(r, &http.Client{
		Transport: wrapped,
		// A redirect would get the credentials.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	if err != nil {
		return nil, err
	}
	return &client{config: c, rest: api, codec: runtime.NewParameterCodec(scheme), conns: conns}, nil
}

func (c *config) newTransport(conf *transport.Config, conns *connections) (*http.Transport, error) {
	tlsConfig, err := transport.TLSConfigFor(conf)
	if err != nil {
		return nil, err
	}
	dial := (&net.Dialer{Timeout: c.timeout}).DialContext
	if conf.DialHolder != nil {
		dial = conf.DialHolder.Dial
	}
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           conns.dial(dial),
		TLSClientConfig:       tlsConfig,
		TLSHandshakeTimeout:   c.timeout,
		ResponseHeaderTimeout: c.timeout,
		DisableCompression:    conf.DisableCompression,
		ForceAttemptHTTP2:     true,
		// A watch may have no news for minutes.
		HTTP2: &http.HTTP2Config{SendPingTimeout: c.timeout, PingTimeout: c.timeout},
	}
	if conf.Proxy != nil {
		t.Proxy = conf.Proxy
	}
	return t, nil
}

// close ends the connections. No request is under way any more.
func (c *client) close() { c.conns.close() }

// connections are those of a transport, which goes on with a dial when nobody waits for
// it any more.
type connections struct {
	tracker *connrotation.ConnectionTracker
	ctx     context.Context //nolint:containedctx // ends with close
	cancel  context.CancelFunc
}

func newConnections() *connections {
	ctx, cancel := context.WithCancel(context.Background())
	return &connections{tracker: connrotation.NewConnectionTracker(), ctx: ctx, cancel: cancel}
}

// dial returns next for connections that end with close.
func (c *connections) dial(next connrotation.DialFunc) connrotation.DialFunc {
	tracked := connrotation.NewDialerWithTracker(next, c.tracker)
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(c.ctx, cancel)() //nolint:contextcheck // either ends the dial
		conn, err := tracked.DialContext(ctx, network, addr)
		if err == nil && c.ctx.Err() != nil { // else close sees it
			_ = conn.Close()
			return nil, c.ctx.Err()
		}
		return conn, err
	}
}

func (c *connections) close() {
	c.cancel()
	c.tracker.CloseAll()
}

// request begins a request for the slices that opts select. Tries are repeated by
// discovery.Retry alone.
func (c *client) request(opts *metav1.ListOptions) *rest.Request {
	return c.rest.Get().Namespace(c.namespace).Resource("endpointslices").VersionedParams(opts, c.codec).MaxRetries(0)
}

// list lists slices.
func (c *client) list(ctx context.Context, opts metav1.ListOptions) (*discoveryv1.EndpointSliceList, error) {
	ctx, cancel := context.WithTimeout(withBudget(ctx, newBudget()), c.timeout)
	defer cancel()
	list := &discoveryv1.EndpointSliceList{}
	return list, c.request(&opts).Do(ctx).Into(list)
}

// watch opens a watch, whose answer may have as many bytes as the budget until that
// is renewed.
func (c *client) watch(ctx context.Context, opts metav1.ListOptions, b *budget) (watch.Interface, error) {
	opts.Watch = true
	return c.request(&opts).Watch(withBudget(ctx, b))
}

// budget bounds how many bytes of an answer are read.
type budget struct{ left atomic.Int64 }

func newBudget() *budget {
	b := &budget{}
	b.renew()
	return b
}

// renew is called when what was read is done with.
func (b *budget) renew() { b.left.Store(maxAnswer) }

type budgetKey struct{}

func withBudget(ctx context.Context, b *budget) context.Context {
	return context.WithValue(ctx, budgetKey{}, b)
}

// bounded applies the budgets of requests.
type bounded struct{ http.RoundTripper }

func (t bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if b, ok := r.Context().Value(budgetKey{}).(*budget); ok && err == nil {
		resp.Body = &boundedBody{resp.Body, b}
	}
	return resp, err
}

type boundedBody struct {
	io.ReadCloser
	*budget
}

func (b *boundedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left.Add(-int64(n)) < 0 {
		return 0, fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	}
	return n, err
}
