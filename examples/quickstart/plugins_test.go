//go:build registries

package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

func TestKilledServerVanishesFromTheRegistryAndReturns(t *testing.T) {
	for name, needs := range map[string]string{"etcd": "", "zk": "ZOOKEEPER_SERVERS", "consul": "CONSUL_AGENT_ADDR"} {
		t.Run(name, func(t *testing.T) {
			if needs != "" && os.Getenv(needs) == "" {
				t.Skipf("%s is not set", needs)
			}
			if name == "etcd" {
				_, stop, err := startEtcd()
				if err != nil {
					t.Skipf("it was not built in, by -tags embedetcd: %v", err)
				}
				stop()
			}
			stdout, err := program(t, "-registry", name, "-duration", "12s", "-rate", "1000", "-concurrency", "8").Output()
			out := string(stdout)
			t.Logf("output:\n%s", out)
			if err != nil {
				t.Fatal(err)
			}
			killed := regexp.MustCompile(`(\S+) killed\n`).FindStringSubmatch(out)
			if killed == nil {
				t.Fatal("no server was killed")
			}
			rest := out
			for _, event := range []string{
				" seen in the registry by the pool\n", " killed\n", " gone from the registry", " started again\n", " seen in the registry by the pool, ",
			} {
				_, after, found := strings.Cut(rest, killed[1]+event)
				if !found {
					t.Fatalf("the timeline has no%q where it belongs", event)
				}
				rest = after
			}
			if !strings.Contains(rest, "; 0 lost") {
				t.Error("the last line does not say that nothing was lost")
			}
		})
	}
}

func TestMistakeInTheURLOfTheRegistryIsToldBeforeAnyServerStarts(t *testing.T) {
	_, err := startRegistry("etcd://127.0.0.1:1/x?tll=2s")
	if err == nil || !strings.Contains(err.Error(), "tll") {
		t.Errorf("error %v", err)
	}
	t.Setenv("ZOOKEEPER_SERVERS", "")
	if _, err := startRegistry("zk"); err == nil || !strings.Contains(err.Error(), "ZOOKEEPER_SERVERS") {
		t.Errorf("error %v", err)
	}
}
