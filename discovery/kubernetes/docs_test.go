package kubernetes_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"

	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
	"github.com/minicaptain/multi_connection_pool/discovery/kubernetes"
)

// manifests returns the objects in docs/kubernetes.md. A field that Kubernetes does not
// have is a failure.
func manifests(t *testing.T) (all []runtime.Object) {
	t.Helper()
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(doc, -1) {
		for object := range bytes.SplitSeq(block[1], []byte("---\n")) {
			o, _, err := strict.Decode(object, nil, nil)
			if err != nil {
				t.Errorf("%v in\n%s", err, object)
				continue
			}
			all = append(all, o)
		}
	}
	return all
}

func TestManifestsOfTheDocumentationAreStrictlyValid(t *testing.T) {
	if n := len(manifests(t)); n < 7 {
		t.Errorf("%d manifests are in docs/kubernetes.md", n)
	}
}

// TestManifestsOfTheDocumentationSuffice applies them, and follows a Service as their
// service account.
func TestManifestsOfTheDocumentationSuffice(t *testing.T) {
	c := startCluster(t, "ETCD_BINARY")
	ctx := t.Context()
	if err := errors.Join(c.namespace(ctx, "default"), c.namespace(ctx, "shop")); err != nil {
		t.Fatal(err)
	}
	s := c.named("shop", "echo", plugintest.Proxy(t, c.addr))
	slice := newSlice("echo", "echo-abc", discoveryv1.AddressTypeIPv4, 9090, endpoint("10.0.0.1"))
	*slice.Ports[0].Name = "echo"
	if err := c.put(ctx, slicesPath("shop"), slice.Name, slice); err != nil {
		t.Fatal(err)
	}
	var got *seen
	for _, o := range manifests(t) {
		kind, object := o.GetObjectKind().GroupVersionKind(), meta.NewAccessor()
		name, _ := object.Name(o)
		namespace, _ := object.Namespace(o)
		if namespace == "" {
			namespace = "default"
		}
		path := "/apis/" + kind.Group + "/" + kind.Version
		if kind.Group == "" {
			path = "/api/" + kind.Version
		}
		path += "/namespaces/" + namespace + "/" + strings.ToLower(kind.Kind) + "s"
		if err := c.put(ctx, path, name, o); err != nil {
			t.Errorf("%s %s: %v", kind.Kind, name, err)
		}
		if kind.Kind != "ServiceAccount" {
			continue
		}
		r := &authenticationv1.TokenRequest{}
		if err := c.admin.Post().AbsPath(path, name, "token").Body(r).Do(ctx).Into(r); err != nil {
			t.Fatal(err)
		}
		got = follow(t, kubernetes.Watcher("shop/echo:echo", kubernetes.WithConfig(c.config(s.proxy.Addr(), r.Status.Token))))
		got.loses("endpointslices.discovery.k8s.io is forbidden") // what follows is needed
	}
	got.is("10.0.0.1:9090")
}
