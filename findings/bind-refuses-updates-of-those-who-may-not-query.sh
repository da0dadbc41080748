#!/usr/bin/env bash
# BIND: allow-query decides over dynamic updates too.
#
# One would expect: an update (RFC 2136) is no query. A zone with "allow-update { any; }"
# takes updates from everybody, whatever allow-query says; a registrar that may write and
# has nothing to read needs no more.
#
# What happens: whoever may not query the zone has his updates REFUSED, though
# allow-update names him. With allow-query the same update goes well.
#
# Version: bind9 9.18.49 (Debian 12). Seen on 2026-11-28:
#   allow-query { none; }: update failed: REFUSED
#   allow-query { any; }: done
#
# The script fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
named=
trap '[[ -z $named ]] || kill -9 "$named" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir"
apt-get download bind9=1:9.18.* bind9-libs=1:9.18.* bind9-dnsutils=1:9.18.* libuv1 libjemalloc2 liblmdb0 libmaxminddb0 libfstrm0 \
	libprotobuf-c1 libjson-c5 libnghttp2-14 libxml2 libicu72 >/dev/null 2>&1
for deb in *.deb; do dpkg-deb -x "$deb" .; done
export LD_LIBRARY_PATH
LD_LIBRARY_PATH=$(find "$dir" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
cat >zone <<'END'
$TTL 60
@ IN SOA ns hostmaster 1 3600 600 86400 60
@ IN NS ns
ns IN A 127.0.0.1
END

# try <who may query>: prints what becomes of an update.
try() {
	cp zone zone.db
	cat >named.conf <<END
options {
	directory "$dir"; pid-file none; session-keyfile none; listen-on port 15353 { 127.0.0.1; }; listen-on-v6 { none; };
	recursion no; allow-query { $1; }; managed-keys-directory "$dir";
};
controls { };
zone "test." { type primary; file "zone.db"; allow-update { any; }; };
END
	./usr/sbin/named -g -n 1 -c named.conf >log 2>&1 &
	named=$!
	until grep -q ' running$' log; do sleep 0.05; kill -0 $named; done
	{ printf 'server 127.0.0.1 15353\nzone test.\nupdate add a.test. 60 A 10.0.0.1\nsend\n' | ./usr/bin/nsupdate 2>&1 || true; } |
		sed "s/^/allow-query { $1; }: /; \$!d"
	grep -q "adding an RR at 'a.test' A" log && echo "allow-query { $1; }: done"
	kill -9 $named
	wait $named 2>/dev/null || true
	named=
}

out=$(try none || true; try any)
echo "$out"
[[ $out == "allow-query { none; }: update failed: REFUSED
allow-query { any; }: done" ]]
