#!/bin/sh
# Starts a Consul server or client agent, in the official image and in ours.
# Access control is on, and whoever has no token may do nothing; the token
# below may do everything. It opens nothing but this test's containers.
token=6f1d3c52-8a0e-4b7d-9e11-2f6c5f0a7b3e
case "$(consul version)" in
*v1.8.*) key=master ;;
*) key=initial_management ;;
esac
# Whoever restarts joins again within a second, not within half a minute. Sessions may be as
# short as 2 s, so that tests see them end.
exec consul agent "$@" -retry-interval=1s -config-format=hcl -data-dir=/consul-data -client=0.0.0.0 \
	-node="$(hostname)" -disable-host-node-id -log-level=warn \
	-hcl='disable_update_check = true, leave_on_terminate = false, skip_leave_on_interrupt = true' \
	-hcl='performance { raft_multiplier = 1 }' \
	-hcl='session_ttl_min = "2s"' \
	-hcl='limits { http_max_conns_per_client = 10000 }' \
	-hcl='acl { enabled = true, default_policy = "deny", tokens { agent = "'$token'", '$key' = "'$token'" } }'
