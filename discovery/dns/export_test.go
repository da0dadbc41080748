package dns

import "net"

// System makes the file and the port those of the system's servers.
func System(resolvConf, port string) Option {
	return func(c *config) {
		c.system = func() resolvConfig {
			r := readResolvConf(resolvConf)
			for i, s := range r.servers {
				host, _, _ := net.SplitHostPort(s)
				r.servers[i] = net.JoinHostPort(host, port)
			}
			return r
		}
	}
}
