package xds

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net"
	"slices"
	"strconv"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	typepb "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// assignment is the endpoints of a cluster that get calls, by address.
type assignment struct {
	endpoints map[string]discovery.Endpoint
	skipped   map[string]error
	warning   error // what the control plane wants and does not get
}

// assign chooses the endpoints of the lowest priority that has a usable one, or those of
// all priorities.
func assign(cla *endpointpb.ClusterLoadAssignment, all bool) *assignment {
	a := &assignment{endpoints: map[string]discovery.Endpoint{}, skipped: map[string]error{}, warning: unheeded(cla)}
	byPriority := map[uint32][]*endpointpb.LocalityLbEndpoints{}
	for _, l := range cla.GetEndpoints() {
		if usable(l) {
			byPriority[l.GetPriority()] = append(byPriority[l.GetPriority()], l)
		}
	}
	for _, priority := range slices.Sorted(maps.Keys(byPriority)) {
		chosen := byPriority[priority]
		shares := localityShares(chosen)
		for i, l := range chosen {
			if shares[i] > 0 {
				a.add(l, i, shares[i])
			}
		}
		if !all {
			break
		}
	}
	return a
}

// usable reports whether a locality has an endpoint that gets calls.
func usable(l *endpointpb.LocalityLbEndpoints) bool {
	return slices.ContainsFunc(l.GetLbEndpoints(), healthy)
}

// healthy reports whether an endpoint gets calls: as in gRPC, if it is HEALTHY or
// nobody knows.
func healthy(e *endpointpb.LbEndpoint) bool {
	return e.GetHealthStatus() == corepb.HealthStatus_HEALTHY || e.GetHealthStatus() == corepb.HealthStatus_UNKNOWN
}

func weightOf(e *endpointpb.LbEndpoint) float64 {
	return float64(cmp.Or(e.GetLoadBalancingWeight().GetValue(), 1))
}

// localityShares returns by what the weight of each locality's endpoints is multiplied.
// If localities have weights, the endpoints of each have that in sum, scaled so that
// the average over all endpoints is 1; one without a weight gets no calls. If none has,
// it is 1.
func localityShares(ls []*endpointpb.LocalityLbEndpoints) []float64 {
	shares, weights, count := make([]float64, len(ls)), 0.0, 0.0
	for i, l := range ls {
		shares[i] = 1
		if w := float64(l.GetLoadBalancingWeight().GetValue()); w > 0 {
			weights += w
			for _, e := range l.GetLbEndpoints() {
				if healthy(e) {
					count++
				}
			}
		}
	}
	if weights == 0 {
		return shares
	}
	for i, l := range ls {
		sum := 0.0
		for _, e := range l.GetLbEndpoints() {
			if healthy(e) {
				sum += weightOf(e)
			}
		}
		shares[i] = float64(l.GetLoadBalancingWeight().GetValue()) / weights * count / sum
	}
	return shares
}

// add adds the endpoints of a locality.
func (a *assignment) add(l *endpointpb.LocalityLbEndpoints, locality int, share float64) {
	for i, lb := range l.GetLbEndpoints() {
		if !healthy(lb) {
			continue
		}
		addr, err := addrOf(lb.GetEndpoint().GetAddress())
		if err != nil {
			a.skipped[fmt.Sprintf("endpoint %d of locality %d of priority %d", i+1, locality+1, l.GetPriority())] = err
			continue
		}
		if _, ok := a.endpoints[addr]; ok { // the first one counts
			continue
		}
		where := l.GetLocality()
		attrs := texts(lb.GetMetadata().GetFilterMetadata()["envoy.lb"])
		put := func(name, value string) {
			if value != "" {
				attrs[name] = value
			}
		}
		put("region", where.GetRegion())
		put("sub_zone", where.GetSubZone())
		put("hostname", lb.GetEndpoint().GetHostname())
		if p := l.GetPriority(); p > 0 {
			put("priority", strconv.FormatUint(uint64(p), 10))
		}
		a.endpoints[addr] = discovery.Endpoint{
			Addr: addr, Weight: share * weightOf(lb), Zone: cmp.Or(where.GetZone(), where.GetRegion()), Attrs: attrs,
		}
	}
}

// texts returns the fields of a structure that are texts, as a new map.
func texts(s *structpb.Struct) map[string]string {
	m := map[string]string{}
	for name, v := range s.GetFields() {
		if t, ok := v.GetKind().(*structpb.Value_StringValue); ok {
			m[name] = t.StringValue
		}
	}
	return m
}

func addrOf(a *corepb.Address) (string, error) {
	switch a := a.GetAddress().(type) {
	case *corepb.Address_SocketAddress:
		s := a.SocketAddress
		port, ok := s.GetPortSpecifier().(*corepb.SocketAddress_PortValue)
		switch {
		case s.GetProtocol() != corepb.SocketAddress_TCP:
			return "", fmt.Errorf("the protocol is %v", s.GetProtocol())
		case s.GetResolverName() != "":
			return "", errors.New("the address needs a resolver of Envoy's")
		case !ok:
			return "", errors.New("the address has no port, or a named one")
		}
		return net.JoinHostPort(s.GetAddress(), strconv.FormatUint(uint64(port.PortValue), 10)), nil
	case *corepb.Address_Pipe:
		return "unix:" + a.Pipe.GetPath(), nil
	case nil:
		return "", errors.New("the endpoint has no address (named endpoints are not supported)")
	default:
		return "", errors.New("the address is one within Envoy")
	}
}

// unheeded says which parts of the policy have no effect.
func unheeded(cla *endpointpb.ClusterLoadAssignment) error {
	var errs []error
	for _, d := range cla.GetPolicy().GetDropOverloads() {
		p := d.GetDropPercentage()
		per := 100.0
		switch p.GetDenominator() {
		case typepb.FractionalPercent_TEN_THOUSAND:
			per = 10_000
		case typepb.FractionalPercent_MILLION:
			per = 1_000_000
		case typepb.FractionalPercent_HUNDRED:
		}
		if p.GetNumerator() > 0 && len(errs) < 8 {
			errs = append(errs, fmt.Errorf("xds: the control plane wants %.4g %% of the calls dropped (%.100q), and none is", float64(p.GetNumerator())/per*100, d.GetCategory()))
		}
	}
	return errors.Join(errs...)
}

// entries returns the endpoints as the entries of a set. An entry whose value is the
// same is the same.
func (a *assignment) entries() iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		for key, e := range a.endpoints {
			if !yield(key, fmt.Appendf(nil, "%v %q %q", e.Weight, e.Zone, e.Attrs)) {
				return
			}
		}
		for key, err := range a.skipped {
			if !yield(key, []byte(err.Error())) {
				return
			}
		}
	}
}

// decode is the decoder of the set: what entries yielded.
func (a *assignment) decode(key string) ([]discovery.Endpoint, error) {
	if e, ok := a.endpoints[key]; ok {
		return []discovery.Endpoint{e}, nil
	}
	return nil, a.skipped[key]
}
