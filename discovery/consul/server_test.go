package consul_test

import (
	"bytes"
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

// timeout bounds what a test waits for.
const timeout = 30 * time.Second

// process is a Consul of the test's own, which it may kill; it keeps nothing,
// so that it has lost everything when it is started again.
type process struct {
	t     *testing.T
	addr  string
	flags []string
	cmd   *exec.Cmd
	log   bytes.Buffer
}

// startConsul starts a server with the flags, from the program that the
// environment variable CONSUL_BINARY names, or else "consul".
func startConsul(t *testing.T, flags ...string) *process {
	t.Helper()
	binary := os.Getenv("CONSUL_BINARY")
	if binary == "" {
		binary = "consul"
	}
	binary, err := exec.LookPath(binary)
	if err != nil {
		t.Skipf("a program consul, to be killed, is neither in $CONSUL_BINARY nor in $PATH: %v", err)
	}
	ports := freePorts(t, 4)
	p := &process{t: t, addr: "127.0.0.1:" + ports[0], flags: append([]string{
		binary, "agent", "-bind=127.0.0.1", "-client=127.0.0.1", "-disable-host-node-id", "-log-level=err", "-node=test",
		"-http-port=" + ports[0], "-server-port=" + ports[1], "-serf-lan-port=" + ports[2], "-serf-wan-port=" + ports[3],
		"-dns-port=-1", "-grpc-port=-1", "-hcl=disable_update_check = true, performance { raft_multiplier = 1 }",
	}, flags...)}
	// Consul 1.14 and later listen at one more port.
	if help, _ := exec.Command(binary, "agent", "-help").CombinedOutput(); bytes.Contains(help, []byte("grpc-tls-port")) {
		p.flags = append(p.flags, "-grpc-tls-port=-1")
	}
	t.Cleanup(p.kill)
	p.start()
	return p
}

// freePorts returns ports that nobody listens at.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	ports := make([]string, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(p.flags[0], p.flags[1:]...)
	p.cmd.Stdout, p.cmd.Stderr = &p.log, &p.log
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *process) kill() {
	if p.cmd != nil {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
		p.cmd = nil
	}
}

// ready waits until the server has a leader.
func (p *process) ready() {
	p.t.Helper()
	db := raw(p.t, p.addr)
	eventually(p.t, "a leader", func() bool {
		_, err := db.Catalog().Register(&api.CatalogRegistration{Node: "ready", Address: "192.0.2.1"}, nil)
		return err == nil
	})
}

// eventually waits for what sends no event.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for start := time.Now(); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > timeout {
			t.Fatalf("waited %v for %s", timeout, what)
		}
	}
}
