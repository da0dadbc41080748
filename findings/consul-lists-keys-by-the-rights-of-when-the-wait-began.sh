#!/usr/bin/env bash
# Consul 1.8: a list of keys that waits is filtered by the rights that its token had when the wait began.
#
# One would expect: whoever changes the policy of a token changes what its next answers
# contain. A query that waits for a change (index=, wait=) is answered after that, so it
# has what the token may read by then. Those for the keys of a service do.
#
# What happens: for keys the rights are looked up once, before the wait. A token that is
# allowed to read a prefix while its query waits gets "not found" when a key is written
# there, with the new index; and a client that goes on from that index sees none of the
# keys until something changes once more. The same question without a wait, at the same
# time, has them all.
#
# Version: consul 1.8.7+dfsg1 (Debian 11). Seen on 2026-11-28:
#   the answer of the query that waited: 0 keys
#   the answer of a query at that time: 2 keys
#
# The script fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
agent=
trap '[[ -z $agent ]] || { kill -9 "$agent"; wait "$agent" || true; } 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
mkdir -p lists/partial cache/partial
echo 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bullseye main' >sources
apt=(apt-get -qq -o Dir::Etc::SourceList="$dir/sources" -o Dir::Etc::SourceParts=- -o Dir::State::Lists="$dir/lists" -o Dir::Cache="$dir/cache" -o APT::Sandbox::User=root)
"${apt[@]}" update >/dev/null 2>&1
"${apt[@]}" download consul=1.8.7* >/dev/null 2>&1
dpkg-deb -x consul_*.deb .

cat >config.json <<'END'
{"acl": {"enabled": true, "default_policy": "deny", "tokens": {"master": "root"}},
 "ports": {"http": 18500, "dns": -1, "grpc": -1, "server": 18300, "serf_lan": 18301, "serf_wan": 18302}}
END
./usr/bin/consul agent -dev -bind 127.0.0.1 -client 127.0.0.1 -config-file config.json >log 2>&1 &
agent=$!
root() { curl -sf -H 'X-Consul-Token: root' "$@"; }
at=http://127.0.0.1:18500/v1
until root $at/acl/policies >/dev/null 2>&1; do sleep 0.1; kill -0 $agent; done

write() { root -X PUT "$at/kv/servers/$1" -d 10.0.0.1:80 >/dev/null; }
write one
field() { grep -o "\"$1\": *\"[^\"]*\"" | head -1 | cut -d'"' -f4; }
policy=$(root -X PUT $at/acl/policy -d '{"Name": "reader", "Rules": "key_prefix \"other\" { policy = \"read\" }"}' | field ID)
token=$(root -X PUT $at/acl/token -d '{"Policies": [{"Name": "reader"}]}' | field SecretID)
ask() { curl -s -H "X-Consul-Token: $token" "$at/kv/servers/?recurse$1"; }
keys() { grep -o '"Key":' | wc -l || true; }

index=$(curl -s -D - -o /dev/null -H "X-Consul-Token: $token" "$at/kv/servers/?recurse" | tr -d '\r' | sed -n 's/^X-Consul-Index: //p')
ask "&index=$index&wait=30s" >waited &
query=$!
# The query is waiting once the agent has its connection, and answers nothing for a while.
for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; kill -0 $query; done
root -X PUT "$at/acl/policy/$policy" \
	-d '{"Name": "reader", "Rules": "key_prefix \"servers/\" { policy = \"read\" }"}' >/dev/null
write two
wait $query
out="the answer of the query that waited: $(keys <waited) keys
the answer of a query at that time: $(ask '' | keys) keys"
echo "$out"
[[ $out == "the answer of the query that waited: 0 keys
the answer of a query at that time: 2 keys" ]]
