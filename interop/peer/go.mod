module github.com/minicaptain/multi_connection_pool/interop/peer

go 1.26.7
