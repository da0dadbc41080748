// Package otelobserver makes the calls of a pool spans and metrics of OpenTelemetry.
// It needs the API alone; the program configures an SDK.
//
//	stop, err := otelobserver.Observe("users", pool, otelobserver.HTTP())
//
// Names, units and attributes are those of the semantic conventions 1.43.0. A span
// of kind client and a measurement stand for one attempt, as the conventions have
// it for HTTP, so that a call that is repeated has several, beside each other,
// under the span that the caller's context has.
//
//	kind  span    metric                         attributes
//	HTTP  GET     http.client.request.duration   http.request.method, http.response.status_code,
//	                                             http.request.resend_count, url.full (span only)
//	RPC   method  rpc.client.call.duration       rpc.system.name, rpc.method
//	DB    name    db.client.operation.duration   db.system.name, db.operation.name
//
// All have server.address, and error.type if the attempt failed. server.address, with
// server.port, is that of the URL for HTTP, and the name of the pool for the others:
// the group of servers, which the conventions call the logical one. The server that
// was asked is network.peer.address and network.peer.port of the span. A span also has
// multipool.wait, the seconds for which the attempt waited for a connection, and
// multipool.hedged if it belongs to the second of two hedged calls.
//
// The name of an RPC is that of the Thrift method; that of a database operation is
// given by core.WithMethod.
//
// Of the pool itself, with the attribute multipool.pool.name:
//
//	multipool.connection.count   {connection}  multipool.connection.state: idle, used
//	multipool.endpoint.count     {endpoint}    multipool.endpoint.state: available, ejected, down
//	multipool.retries            {attempt}
//	multipool.hedges             {attempt}     multipool.hedge.result: won, failed, lost
//	multipool.ejections          {ejection}
//	multipool.dials              {connection}  multipool.dial.result: ok, failed
//
// and of a pool of database connections, with db.client.connection.pool.name:
// db.client.connection.count, db.client.connection.pending_requests and
// db.client.connection.timeouts, and db.client.connection.wait_time of each attempt.
//
// No attribute of a metric is an address of a server, so that their number does not
// grow with a fleet that comes and goes.
package otelobserver
