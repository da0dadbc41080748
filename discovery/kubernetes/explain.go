package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// isAnswer reports whether err is what the API server has answered.
func isAnswer(err error) bool {
	return errors.As(err, new(apierrors.APIStatus))
}

// explain adds what to do about an error, and marks those that time does not heal.
func (c *config) explain(err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return discovery.Permanent(fmt.Errorf("%w; a Role in namespace %s, bound to who asks, needs the rule "+
			`{apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["list", "watch"]}`, err, c.namespace))
	case apierrors.IsUnauthorized(err):
		// The next Watch reads the files again. Within one, client-go reads a token's file every
		// 50 s, whatever the API server says.
		return discovery.Permanent(fmt.Errorf("%w: the API server does not know who asks; is the token or certificate of another cluster, or has it expired?", err))
	case apierrors.IsNotFound(err):
		return discovery.Permanent(fmt.Errorf("%w: the API server has no discovery.k8s.io/v1; Kubernetes has it from 1.21 on", err))
	}
	return err
}

// missing returns why there is no slice: it looks for those of other Services, which
// the same Role allows.
func (v *view) missing(ctx context.Context) error {
	const most, shown = 100, 5
	why := fmt.Errorf("the namespace %s has no EndpointSlice of a Service %s: "+
		"the Service does not exist, or has no selector and no endpoints of its own", v.namespace, v.service)
	list, err := v.list(ctx, metav1.ListOptions{Limit: most})
	if err != nil {
		return why // the watch is about to notice
	}
	services := map[string]bool{}
	for i := range list.Items {
		if name := list.Items[i].Labels[discoveryv1.LabelServiceName]; name != "" {
			services[name] = true
		}
	}
	names := slices.Sorted(maps.Keys(services))
	if len(names) == 0 {
		return fmt.Errorf("%w; there are none of other Services either", why)
	}
	if len(names) > shown {
		names = append(names[:shown], "...")
	}
	return fmt.Errorf("%w; there are some of %s", why, strings.Join(names, ", "))
}
