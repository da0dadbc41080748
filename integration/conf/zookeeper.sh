#!/bin/sh
# Starts one member of the ensemble, in the official image and in ours.
mkdir -p /data
echo "$MYID" >/data/myid
# Many small heaps on one machine, and nothing here outlives the test. Without a
# quorum a server serves reads, to clients that ask for that.
JVMFLAGS="-Dreadonlymode.enabled=true -Xmx256m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dzookeeper.forceSync=no -Dzookeeper.jmx.log4j.disable=true $JVMFLAGS"
SERVER_JVMFLAGS=
export JVMFLAGS SERVER_JVMFLAGS
exec zkServer.sh start-foreground /conf/zoo.cfg
