module github.com/minicaptain/multi_connection_pool/examples

go 1.26.0

require (
	github.com/apache/thrift v0.25.0
	github.com/minicaptain/multi_connection_pool v0.0.0
	github.com/minicaptain/multi_connection_pool/protocol/thriftpool v0.0.0
	golang.org/x/term v0.47.0
)

require golang.org/x/sys v0.49.0 // indirect

replace (
	github.com/minicaptain/multi_connection_pool => ../
	github.com/minicaptain/multi_connection_pool/protocol/thriftpool => ../protocol/thriftpool
)
