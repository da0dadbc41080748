package promobserver

import (
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

const namespace = "multipool"

// The metrics, see the package's documentation.
//
//nolint:gochecknoglobals // constants
var (
	all  = newCallDescs("", "of the pool", "pool")
	each = newCallDescs("endpoint_", "of the endpoint", "pool", "endpoint")

	registryState     = desc("registry_state", "1 for what is known of the set of endpoints, 0 for what is not the case.", "pool", "state")
	registryChanged   = desc("registry_state_changed_timestamp_seconds", "Since when that is known.", "pool")
	registryRejected  = desc("registry_rejected_total", "Entries of the registry that were dropped.", "pool")
	waitingCalls      = desc("waiting_calls", "Calls that wait for a connection.", "pool")
	connections       = desc("connections", "Connections by state.", "pool", "state")
	endpoints         = desc("endpoints", "Endpoints in the set by state.", "pool", "state")
	endpointsOmitted  = desc("endpoints_omitted", "Endpoints without series of their own, since there are too many.", "pool")
	leases            = desc("leases_total", "Leases that have ended.", "pool")
	connectionsClosed = desc("connections_closed_total", "Connections closed.", "pool")
	withoutConnection = desc("calls_without_connection_total", "Calls that got no connection, by the reason.", "pool", "reason")
	callDuration      = desc("call_duration_seconds", "How long servers took to answer, or calls to fail.", "pool", "outcome")
	waitDuration      = desc("wait_duration_seconds", "How long calls waited for a connection that found none idle.", "pool")

	endpointDown        = desc("endpoint_down", "1 if the endpoint cannot be dialed.", "pool", "endpoint")
	endpointEjected     = desc("endpoint_ejected", "1 if the endpoint is out of service because its calls fail.", "pool", "endpoint")
	endpointConnections = desc("endpoint_connections", "Connections of the endpoint by state.", "pool", "endpoint", "state")
	endpointAnswers     = desc("endpoint_answer_duration_seconds", "How long the answers of the endpoint took.", "pool", "endpoint")
)

// callDescs are the metrics that a pool and each of its endpoints has.
type callDescs struct{ calls, retries, hedges, ejections, probes, dials *prometheus.Desc }

func newCallDescs(prefix, whose string, labels ...string) callDescs {
	of := func(name, help string, more ...string) *prometheus.Desc {
		return desc(prefix+name, help+" "+whose+".", append(slices.Clip(labels), more...)...)
	}
	return callDescs{
		calls:     of("calls_total", "Calls that reached a server, by outcome,", "outcome"),
		retries:   of("retries_total", "Attempts that were not the first of their call"),
		hedges:    of("hedges_total", "Second calls that were made because the first was late, by result,", "result"),
		ejections: of("ejections_total", "Ejections by outlier detection"),
		probes:    of("probes_total", "Calls that found out whether an ejected endpoint has recovered"),
		dials:     of("dials_total", "Attempts to open a connection, by result,", "result"),
	}
}

func (d callDescs) list() []*prometheus.Desc {
	return []*prometheus.Desc{d.calls, d.retries, d.hedges, d.ejections, d.probes, d.dials}
}

func descs() []*prometheus.Desc {
	return append(append(all.list(), each.list()...), registryState, registryChanged, registryRejected, waitingCalls, connections, endpoints,
		endpointsOmitted, leases, connectionsClosed, withoutConnection, callDuration, waitDuration,
		endpointDown, endpointEjected, endpointConnections, endpointAnswers)
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, labels, nil)
}
