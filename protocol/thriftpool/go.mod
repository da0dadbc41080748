module github.com/minicaptain/multi_connection_pool/protocol/thriftpool

go 1.26

require (
	github.com/apache/thrift v0.25.0
	github.com/minicaptain/multi_connection_pool v0.1.0
)

replace github.com/minicaptain/multi_connection_pool => ../..
