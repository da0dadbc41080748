package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// command returns the program of an ecosystem, and sets its version.
func (e *ecosystem) command(ctx context.Context, dir string) ([]string, error) {
	if e.module == "" {
		source, err := filepath.Abs("peers/curator/Curator.java")
		if err != nil {
			return nil, err
		}
		out, err := exec.CommandContext(ctx, "javac", "-cp", curatorClasspath, "-d", dir, source).CombinedOutput() //nolint:gosec // constants
		if err != nil {
			return nil, fmt.Errorf("%w: %s", err, out)
		}
		return []string{"java", "-cp", curatorClasspath + ":" + dir, "Curator"}, nil
	}
	list := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", e.module) //nolint:gosec // constants
	list.Dir, list.Env = "peers/"+e.peer, append(os.Environ(), "GOWORK=off")
	out, err := list.Output()
	if err != nil {
		return nil, err
	}
	e.version = strings.TrimSpace(string(out))
	program, err := build(ctx, dir, e.peer)
	return []string{program}, err
}

// documented are the ecosystems that cannot run here, and where it is written what they do.
const documented = `| ecosystem | why it is not run | what our format follows |
|---|---|---|
| Spring Cloud ZooKeeper | no build of it without Maven's registry | its source: ` + "`ZookeeperInstance`" + ` as payload, ` + "`instance_status`" + ` (spring-cloud-zookeeper-discovery, github.com/spring-cloud/spring-cloud-zookeeper) |
| Apache Dubbo for Java, 2 and 3 | the same | its documentation of the ZooKeeper registry: ` + "`/dubbo/<interface>/providers/<URL>`" + ` (cn.dubbo.apache.org, reference manual, registry) |
| Finagle and Aurora serversets | Aurora is retired, and Finagle has no package here | their source: ` + "`member_<10 digits>`" + ` and JSON of endpoints (twitter/util-zk, apache/aurora) |
| kratos' registries for Consul and ZooKeeper | the module proxy refuses contrib/registry/zookeeper, and has no checksum of contrib/registry/consul | their source: ` + "`TaggedAddresses`" + ` of URLs; JSON of ` + "`registry.ServiceInstance`" + `, as on etcd (github.com/go-kratos/kratos, contrib/registry) |
| kitex registry-zookeeper | the module proxy has no checksum of it | its source, and hertz registry/zookeeper, which writes the same (github.com/kitex-contrib/registry-zookeeper) |
| GoFrame on ZooKeeper | the module proxy refuses contrib/registry/zookeeper | its source: one node for each service (github.com/gogf/gf, contrib/registry/zookeeper) |
| Airbnb's Nerve and Synapse | Ruby programs without a package here | its documentation: JSON with ` + "`host`, `port`, `name`" + ` (github.com/airbnb/nerve) |
| Kafka, Solr, HBase | no package here; our formats only read | their documentation: ` + "`/brokers/ids/<id>`, `/live_nodes/<address>_<path>`, `/hbase/rs/<host>,<port>,<time>`" + ` |
| ClickHouse | our format only reads; seen by hand with 18.16.1 (Debian) on ZooKeeper 3.8.0: found with its port, gone 4.5 s after kill -9, with a session timeout of 4 s, within a second after SIGTERM, and back when started again | its source: ` + "`<table>/replicas/<replica>/host`" + ` and ` + "`is_active`" + ` (github.com/ClickHouse/ClickHouse, ReplicatedMergeTreeAddress) |
`

// enumerate returns the texts that are not empty, of which there is at least one, in words.
func enumerate(texts ...string) string {
	texts = slices.DeleteFunc(texts, func(s string) bool { return s == "" })
	last := len(texts) - 1
	if last == 0 {
		return texts[0]
	}
	return strings.Join(texts[:last], ", ") + " and " + texts[last]
}

// report writes the report.
func report(file string, all []ecosystem, rows [][2]seen, fleets []mixed, errs []error, version map[string]string) error {
	var b strings.Builder
	fmt.Fprintf(&b, `# What other projects' programs and ours see of each other

Written by `+"`make interop`"+` on %s with %s, on loopback. [registries](registries) says how.

Times are from the end of a program until the other side's set is without its server; a killed program's entry stays until its lease or session
ends. Restart: a server is killed and started again at once, while its old entry is still there.

| ecosystem | version | direction | found | values | clean exit | kill -9 | restart at once |
|---|---|---|---|---|---|---|---|
`, time.Now().UTC().Format(time.DateOnly), enumerate(runtime.Version(), version["etcd"], version["zk"], version["consul"]))
	for i, e := range all {
		if errs[i] != nil {
			fmt.Fprintf(&b, "| %s | %s | | **failed**: %s | | | | |\n", e.name, e.version, strings.ReplaceAll(last(errs[i].Error()), "|", "/"))
			continue
		}
		for side, s := range rows[i] {
			direction := "theirs, seen by us"
			if side == 1 {
				direction = "ours, seen by them"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", e.name, e.version, direction, s.found, s.values, s.exit, s.kill, s.restart)
		}
	}
	b.WriteString(`
## Mixed fleets

Two servers that theirs registers and two that ours does, in this order, and how many percent of ` + strconv.Itoa(calls) + ` calls each got: from the project's
own balancer over its own resolver, and from a pool with ` + "`balance.WeightedRoundRobin`" + `. The balancers of etcd's client for gRPC, of go-zero and of
go-micro know no weights; GoFrame on etcd gives all servers the metadata of the first (findings/goframe-etcd-gives-all-instances-the-first-ones-metadata.sh).

| ecosystem | version | weights | called by theirs | called by ours |
|---|---|---|---|---|
`)
	for i, e := range all {
		if e.picks && errs[i] == nil {
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", e.name, e.version, fleets[i].weights, fleets[i].theirs, fleets[i].ours)
		}
	}
	rings, err := os.ReadFile("rings/REPORT.md")
	if err != nil {
		return err
	}
	sql, err := os.ReadFile("postgres/REPORT.md")
	if err != nil {
		return err
	}
	fmt.Fprintf(&b, "\n%s\n%s\n## By their documentation\n\n%s", rings, sql, documented)
	return os.WriteFile(file, []byte(b.String()), 0o644) //nolint:gosec // it is for all to read
}
