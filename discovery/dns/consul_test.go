package dns_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery/dns"
	"github.com/minicaptain/multi_connection_pool/discovery/internal/plugintest"
)

// consul is a Consul of the test's own.
type consul struct {
	*process
	http, dns string
}

func startConsul(t *testing.T, variable string) *consul {
	t.Helper()
	path := program(t, variable, "consul")
	ports := make([]string, 5)
	for i := range ports {
		ports[i] = freePort(t)
	}
	c := &consul{http: "http://127.0.0.1:" + ports[0], dns: "127.0.0.1:" + ports[4], process: &process{
		t: t, dir: t.TempDir(), args: []string{
			path, "agent", "-dev", "-bind=127.0.0.1", "-client=127.0.0.1", "-disable-host-node-id", "-log-level=err", "-node=test",
			"-http-port=" + ports[0], "-server-port=" + ports[1], "-serf-lan-port=" + ports[2], "-serf-wan-port=" + ports[3],
			"-dns-port=" + ports[4], "-grpc-port=-1", "-hcl=disable_update_check = true",
		},
	}}
	if help, _ := exec.Command(path, "agent", "-help").CombinedOutput(); bytes.Contains(help, []byte("grpc-tls-port")) {
		c.args = append(c.args, "-grpc-tls-port=-1")
	}
	t.Cleanup(c.kill)
	c.start()
	eventually(t, "a leader", func() bool {
		return c.call("PUT", "/v1/catalog/register", `{"Node":"ready","Address":"192.0.2.1"}`) == nil
	})
	return c
}

func (c *consul) call(method, path, body string) error {
	r, err := http.NewRequest(method, c.http+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", res.Status, text)
	}
	return nil
}

// TestConsulOf300InstancesIsCompleteAndQuiet is about a server whose answers over
// UDP leave out most instances, others each time, without a mark.
func TestConsulOf300InstancesIsCompleteAndQuiet(t *testing.T) {
	for _, variable := range []string{"CONSUL_BINARY", "CONSUL_OLD_BINARY"} {
		t.Run(variable, func(t *testing.T) {
			defer http.DefaultClient.CloseIdleConnections()
			c := startConsul(t, variable)
			register := func(i int) string {
				ip := fmt.Sprintf("10.6.%d.%d", i/200, i%200+1)
				if err := c.call("PUT", "/v1/agent/service/register", fmt.Sprintf(`{"ID":"echo%d","Name":"echo","Address":%q,"Port":9090}`, i, ip)); err != nil {
					t.Fatal(err)
				}
				return ip
			}
			addrs, services := make([]string, 300), make([]string, 300)
			for i := range 300 {
				ip := register(i)
				addrs[i], services[i] = ip+":80", ip+":9090*1"
			}
			proxy := plugintest.Proxy(t, c.dns)
			a := follow(t, []string{proxy.Addr()}, "echo.service.consul:80")
			s := follow(t, []string{c.dns}, "echo.service.consul")
			rfc := follow(t, []string{c.dns}, "_echo._tcp.service.consul")
			a.until("all addresses", func() bool { return len(a.set) == 300 })
			a.is(addrs...)
			s.is(services...)
			rfc.is(services...)
			from := proxy.Traffic().Connections
			eventually(t, "twenty looks", func() bool { return proxy.Traffic().Connections > from+20 })
			for _, x := range []*seen{a, s, rfc} {
				x.note(func() {
					if x.reports != 1 || len(x.failures)+len(x.lost) > 0 {
						t.Errorf("%d reports of a set that stays, failures %v, %v", x.reports, x.failures, x.lost)
					}
				})
			}
			// One leaves, one comes; all leave; the first is back.
			if err := c.call("PUT", "/v1/agent/service/deregister/echo0", ""); err != nil {
				t.Fatal(err)
			}
			ip := register(300)
			s.is(append(services[1:], ip+":9090*1")...)
			for i := 1; i <= 300; i++ {
				if err := c.call("PUT", fmt.Sprintf("/v1/agent/service/deregister/echo%d", i), ""); err != nil {
					t.Fatal(err)
				}
			}
			s.is()
			s.says("echo.service.consul. does not exist")
			register(0)
			s.is(services[0])

			// A name of another domain is none of Consul's.
			follow(t, []string{c.dns}, "echo.example:80").says("REFUSED")
			// Over UDP, the set would change all the time.
			u := follow(t, []string{c.dns}, "echo.service.consul", dns.WithTransport("udp"))
			u.is(services[0])
		})
	}
}
