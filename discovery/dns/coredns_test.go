package dns_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery/dns"
)

// startCoreDNS starts CoreDNS with the zone "test.", a change of which is served
// within a second, behind a cache. The returned function changes the zone.
func startCoreDNS(t *testing.T, records string) (addr string, change func(records string)) {
	t.Helper()
	binary := os.Getenv("COREDNS_BINARY")
	if binary == "" {
		// Its module is pinned, and built once; then it is linked from Go's cache.
		binary = filepath.Join(t.TempDir(), "coredns")
		build := exec.Command("go", "build", "-o", binary, ".")
		build.Dir, build.Env = filepath.Join("..", "..", "tools", "coredns"), append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
		if out, err := build.CombinedOutput(); err != nil {
			t.Skipf("CoreDNS cannot be built, and $COREDNS_BINARY names none: %v\n%s", err, out)
		}
	}
	port, dir := freePort(t), t.TempDir()
	p := &process{t: t, addr: "127.0.0.1:" + port, dir: dir, args: []string{binary, "-conf", "Corefile"}}
	serial := 0
	change = func(records string) {
		serial++
		zone := fmt.Sprintf("$TTL 1\n@ IN SOA ns hostmaster %d 3600 600 86400 1\n@ IN NS ns\nns IN A 127.0.0.1\n%s", serial, records)
		next := filepath.Join(dir, "next")
		if err := os.WriteFile(next, []byte(zone), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, "test.zone")); err != nil {
			t.Fatal(err)
		}
	}
	change(records)
	conf := fmt.Sprintf("test.:%s {\n\tbind 127.0.0.1\n\terrors\n\tcache 1\n\tfile test.zone {\n\t\treload 500ms\n\t}\n}\n", port)
	conf = strings.Replace(conf, "\tbind 127.0.0.1\n", "", 1)
	if err := os.WriteFile(filepath.Join(dir, "Corefile"), []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	p.start()
	eventually(t, "CoreDNS", func() bool {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return p.addr, change
}

// TestCoreDNS has the shape of a headless service in Kubernetes: a name with an
// address for each pod, and SRV records whose targets are the pods.
func TestCoreDNS(t *testing.T) {
	pods := func(from, to int) (zone string, addrs, services []string) {
		var b strings.Builder
		for i := from; i < to; i++ {
			ip := fmt.Sprintf("10.5.%d.%d", i/200, i%200)
			fmt.Fprintf(&b, "echo IN A %s\npod%d.echo IN A %s\n_http._tcp.echo IN SRV 0 3 8080 pod%d.echo\n", ip, i, ip, i)
			addrs, services = append(addrs, ip+":9090"), append(services, ip+":8080*3")
		}
		return b.String(), addrs, services
	}
	zone, addrs, services := pods(0, 300)
	server, change := startCoreDNS(t, zone)
	watches := map[string]*seen{
		"tcp": follow(t, []string{server}, "echo.test:9090"),
		"udp": follow(t, []string{server}, "echo.test:9090", dns.WithTransport("udp")),
		"srv": follow(t, []string{server}, "_http._tcp.echo.test"),
	}
	check := func(addrs, services []string) {
		t.Helper()
		watches["tcp"].is(addrs...)
		watches["udp"].is(addrs...)
		watches["srv"].is(services...)
	}
	check(addrs, services)
	zone, addrs, services = pods(1, 302)
	change(zone)
	check(addrs, services)
	change("") // none passes
	check(nil, nil)
	watches["srv"].says("_http._tcp.echo.test. does not exist")
	zone, addrs, services = pods(0, 2)
	change(zone)
	check(addrs, services)
}
