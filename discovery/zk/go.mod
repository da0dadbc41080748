module github.com/minicaptain/multi_connection_pool/discovery/zk

go 1.26

replace github.com/minicaptain/multi_connection_pool => ../..

require (
	github.com/go-zookeeper/zk v1.0.4
	github.com/minicaptain/multi_connection_pool v0.0.0-00010101000000-000000000000
)
