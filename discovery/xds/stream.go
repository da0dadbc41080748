package xds

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	corepb "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointpb "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoverypb "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// typeURL is that of the resources of EDS.
const typeURL = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"

// maxResponse bounds a response in bytes: there is room for a thousand for each of as
// many endpoints as a pool takes.
const maxResponse = 16 << 20

// alive is how often a silent connection is asked for a sign of life. Servers may end
// connections on which they are asked more often.
const alive = 5 * time.Minute

// connect opens a connection to one control plane.
func (c *config) connect(server string) (*grpc.ClientConn, error) {
	creds := insecure.NewCredentials()
	conf, err := c.tls.Load()
	if err != nil {
		return nil, err
	}
	if conf != nil {
		creds = credentials.NewTLS(conf)
	}
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(creds),
		grpc.WithContextDialer(dial),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: alive, Timeout: c.timeout}),
		grpc.WithDisableServiceConfig(),
	}
	if strings.HasPrefix(server, "unix:") {
		options = append(options, grpc.WithAuthority("localhost"))
	}
	return grpc.NewClient("passthrough:///"+server, options...)
}

func dial(ctx context.Context, addr string) (net.Conn, error) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", addr)
}

// stream is one stream of aggregated discovery, on which a cluster is subscribed.
type stream struct {
	*config
	ads     discoverypb.AggregatedDiscoveryService_StreamAggregatedResourcesClient
	answers chan answer
}

// answer is what the stream received.
type answer struct {
	response *discoverypb.DiscoveryResponse
	err      error
}

// open opens a stream, whose goroutine ends with ctx, and asks for the cluster. version
// is the last one that this control plane sent and that was accepted, empty if none was.
func (c *config) open(ctx context.Context, conn *grpc.ClientConn, version string) (*stream, error) {
	if token, err := c.credentials.Value(); err != nil {
		return nil, err
	} else if token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
	}
	// A stream that waits for the connection waits for as long as its context lasts.
	ctx, cancel := context.WithCancelCause(ctx)
	late := time.AfterFunc(c.timeout, func() { cancel(fmt.Errorf("no connection within %v", c.timeout)) })
	ads, err := discoverypb.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if !late.Stop() {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	s := &stream{config: c, ads: ads, answers: make(chan answer)}
	go func() { // ends when the stream does: with ctx, which Watch ends and does not outlive
		defer cancel(nil)
		defer close(s.answers)
		for {
			r, err := ads.Recv()
			select {
			case s.answers <- answer{r, err}:
			case <-ctx.Done():
			}
			if err != nil {
				return
			}
		}
	}()
	return s, s.request(version, "", nil)
}

// drain waits until the goroutine of the stream has ended.
func (s *stream) drain() {
	for range s.answers { // nothing is done with them
	}
}

// request subscribes, or acknowledges the response with the nonce, or refuses it for
// why. version is the last one that was accepted.
func (s *stream) request(version, nonce string, why error) error {
	r := &discoverypb.DiscoveryRequest{TypeUrl: typeURL, ResourceNames: []string{s.cluster}, VersionInfo: version, ResponseNonce: nonce}
	if nonce == "" { // the first of the stream
		r.Node = &corepb.Node{
			Id: s.node, Cluster: s.nodeCluster,
			UserAgentName:  "multipool",
			ClientFeatures: []string{"envoy.lb.does_not_support_overprovisioning"},
		}
	}
	if why != nil {
		text := why.Error()
		r.ErrorDetail = &statuspb.Status{Code: int32(codes.InvalidArgument), Message: text[:min(len(text), 1024)]}
	}
	err := s.ads.Send(r)
	if errors.Is(err, io.EOF) { // the control plane has ended the stream, and what Recv returns says why
		for a := range s.answers {
			if a.err != nil {
				return a.err
			}
		}
	}
	return err
}

// read finds the cluster in a response: nil if the response does not have it, which
// means that it is as it was.
func (c *config) read(r *discoverypb.DiscoveryResponse) (*endpointpb.ClusterLoadAssignment, error) {
	if r.GetTypeUrl() != typeURL {
		return nil, fmt.Errorf("a response of type %.100q, which nobody asked for", r.GetTypeUrl())
	}
	var found *endpointpb.ClusterLoadAssignment
	for i, resource := range r.GetResources() {
		cla := new(endpointpb.ClusterLoadAssignment)
		if err := resource.UnmarshalTo(cla); err != nil {
			return nil, fmt.Errorf("resource %d of %d: %w", i+1, len(r.GetResources()), err)
		}
		if cla.GetClusterName() != c.cluster {
			continue
		}
		if found != nil {
			return nil, errors.New("the response has the cluster twice")
		}
		found = cla
	}
	return found, nil
}

// hopeless reports whether another try soon does not help.
func hopeless(err error) bool {
	switch status.Code(err) {
	case codes.Unauthenticated, codes.PermissionDenied, codes.Unimplemented:
		return true
	default:
		return false
	}
}
