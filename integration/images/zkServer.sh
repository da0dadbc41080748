#!/bin/sh
# zkServer.sh start-foreground <configuration>: as in ZooKeeper's distribution.
[ "$1" = start-foreground ] && [ -f "$2" ] || { echo "usage: zkServer.sh start-foreground <configuration>" >&2; exit 2; }
jars=/usr/share/java
# shellcheck disable=SC2086 # JVMFLAGS are words
exec java $JVMFLAGS -Dorg.slf4j.simpleLogger.defaultLogLevel=warn \
	-cp "$jars/zookeeper.jar:$jars/zookeeper-jute.jar:$jars/slf4j-api.jar:$jars/slf4j-simple.jar:$jars/*" \
	org.apache.zookeeper.server.quorum.QuorumPeerMain "$2"
