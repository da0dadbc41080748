module github.com/minicaptain/multi_connection_pool/util

go 1.25

require (
	github.com/minicaptain/multi_connection_pool v0.1.0
	github.com/minicaptain/multi_connection_pool/discovery/zk v0.1.0
)

require github.com/go-zookeeper/zk v1.0.4

replace (
	github.com/minicaptain/multi_connection_pool => ../
	github.com/minicaptain/multi_connection_pool/discovery/zk => ../discovery/zk
)
