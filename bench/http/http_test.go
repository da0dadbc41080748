package main

import (
	"bytes"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	serveIfAsked()
	os.Exit(m.Run())
}

func TestEveryArmGetsItsBytesUnderEveryWorkload(t *testing.T) {
	servers, err := startServers(3)
	if err != nil {
		t.Fatal(err)
	}
	defer servers.stop()
	for _, load := range workloads() {
		for _, a := range arms() {
			t.Run(load.name()+"/"+a.name, func(t *testing.T) {
				way, err := a.open(servers.addrs(), load)
				if err != nil {
					t.Fatal(err)
				}
				defer way.Close()
				callers := make(callers, load.callers)
				cost, err := callers.slice(way, load.payload, 5*time.Millisecond)
				if err != nil {
					t.Fatal(err)
				}
				if took := callers.latencies(); len(took) != cost.Ops {
					t.Errorf("%d calls, %d latencies", cost.Ops, len(took))
				}
			})
		}
	}
}

func TestTheReportNamesEveryArmAndGoal(t *testing.T) {
	var out bytes.Buffer
	if err := report(&out, "^16 x 100 B, HTTP/1", settings{rounds: 1, slice: 5 * time.Millisecond}, ""); err != nil {
		t.Fatal(err)
	}
	want := []string{"throughput to http.Client", "allocations beyond", "throughput to httplb", "Command:"}
	for _, a := range arms() {
		want = append(want, "| "+a.name+" |")
	}
	for _, want := range want {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &out)
		}
	}
}

func TestStoppedServersAreGone(t *testing.T) {
	servers, err := startServers(1)
	if err != nil {
		t.Fatal(err)
	}
	servers.stop()
	if c, err := net.Dial("tcp", servers[0].addr); err == nil {
		_ = c.Close()
		t.Error("the server still listens")
	}
}
