# Consul from Debian's package, which only bullseye has.
ARG BASE=debian:trixie-slim
FROM ${BASE}
RUN echo 'deb http://deb.debian.org/debian bullseye main' >/etc/apt/sources.list.d/bullseye.list \
 && apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends consul >/dev/null \
 && rm -rf /var/lib/apt/lists/*
