module github.com/minicaptain/multi_connection_pool/discovery/dns

go 1.26.7

require (
	github.com/minicaptain/multi_connection_pool v0.1.0
	golang.org/x/net v0.61.0
)

replace github.com/minicaptain/multi_connection_pool => ../..
