// Package promobserver exposes the numbers of pools to Prometheus.
//
//	metrics := promobserver.New()
//	prometheus.MustRegister(metrics)
//	err := metrics.Add("users", pool)
//
// Every metric has the label pool. Of all calls of a pool, endpoints that have left
// included:
//
//	multipool_calls_total{outcome}                      calls that reached a server, by how they ended
//	multipool_call_duration_seconds{outcome}            histogram; outcome is ok or other
//	multipool_wait_duration_seconds                     histogram of the waits for a connection, of calls that waited
//	multipool_calls_without_connection_total{reason}    exhausted, unavailable, no_endpoint: the errors of core
//	multipool_waiting_calls                             calls that wait now
//	multipool_retries_total, multipool_hedges_total{result}, multipool_ejections_total, multipool_probes_total
//	multipool_leases_total, multipool_dials_total{result}, multipool_connections_closed_total
//	multipool_connections{state}                        idle, in_use, dialing, closing
//	multipool_endpoints{state}                          available, ejected, down
//	multipool_registry_state{state}                     1 for the present one of pending, ready, empty and stale
//	multipool_registry_state_changed_timestamp_seconds  since when that is
//	multipool_registry_rejected_total                   entries of the registry that were dropped
//
// Per endpoint, with the label endpoint, its address:
//
//	multipool_endpoint_calls_total{outcome}, multipool_endpoint_answer_duration_seconds (count and sum)
//	multipool_endpoint_retries_total, multipool_endpoint_hedges_total{result}
//	multipool_endpoint_ejections_total, multipool_endpoint_probes_total
//	multipool_endpoint_dials_total{result}, multipool_endpoint_connections{state}
//	multipool_endpoint_ejected, multipool_endpoint_down 1 or 0
//
// An endpoint has series while it is in the set, and the collector remembers none
// that has left, so that a scrape is bounded by the size of the fleet, whatever
// comes and goes. A pool with more endpoints than [MaxEndpoints] has no series per
// endpoint; multipool_endpoints_omitted says how many that concerns.
//
// Histograms are native ones, without loss, and have classic buckets, one per power
// of two seconds from 61 µs to 32 s, for servers that do not scrape native ones.
package promobserver
