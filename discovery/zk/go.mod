module github.com/minicaptain/multi_connection_pool/discovery/zk

go 1.25

replace github.com/minicaptain/multi_connection_pool => ../..

require (
	github.com/go-zookeeper/zk v1.0.4
	github.com/minicaptain/multi_connection_pool v0.1.0
)
