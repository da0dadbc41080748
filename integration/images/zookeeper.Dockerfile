# ZooKeeper from Debian's packages: the jars and a Java without screen. The
# package "zookeeper" itself would bring a desktop's worth of libraries.
ARG BASE=debian:trixie-slim
FROM ${BASE}
RUN apt-get update -qq \
 && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends libzookeeper-java default-jre-headless >/dev/null \
 && rm -rf /var/lib/apt/lists/*
# The one command of the official image that the tests use.
COPY zkServer.sh /usr/local/bin/zkServer.sh
