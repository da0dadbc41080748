module github.com/minicaptain/multi_connection_pool

go 1.25
