package main_test

import (
	"strings"
	"syscall"
	"testing"
)

func TestCopyFollowsAndWithdrawsWhatItHasMade(t *testing.T) {
	for name, open := range writable(t) {
		t.Run(name, func(t *testing.T) {
			from, to := servers(t, `[{"addr":"10.0.0.1:1","zone":"eu","attrs":{"v":"1"}},{"addr":"10.0.0.2:1"}]`), open(t)
			p := begin(t, nil, "copy", "--removal-grace", "0s", "file://"+from+"?interval=100ms", to)
			has := func(parts ...string) func() bool {
				return func() bool {
					out := run(t, "ls", to).stdout
					for _, part := range parts {
						if strings.HasPrefix(part, "-") == strings.Contains(out, strings.TrimPrefix(part, "-")) {
							return false
						}
					}
					return true
				}
			}
			until(t, "the first set", has("10.0.0.1:1", "eu", "v=1", "10.0.0.2:1", "copied_by=multipool"))
			write(t, from, `[{"addr":"10.0.0.1:1","zone":"us","attrs":{"v":"2"}},{"addr":"10.0.0.3:1"}]`)
			until(t, "the second set", has("us", "v=2", "10.0.0.3:1", "-10.0.0.2:1", "-v=1"))
			p.signal(syscall.SIGTERM)
			if code := p.wait(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if r := run(t, "ls", to); r.code != 3 {
				t.Errorf("it left %s", r.stdout)
			}
		})
	}
}

func TestCopyLeavesAloneWhoRegistersInTheNewRegistryByItself(t *testing.T) {
	to := writable(t)["etcd"](t)
	addr := listen(t)
	own := begin(t, nil, "register", "--attr", "own=true", to, addr)
	own.await(1, " registered")
	from := servers(t, addr+"\n10.0.0.2:1\n")
	p := begin(t, nil, "copy", "file://"+from, to)
	until(t, "the other server", func() bool { return strings.Contains(run(t, "ls", to).stdout, "10.0.0.2:1") })
	contains(t, run(t, "ls", to+"?where=own:true").stdout, addr)
	own.signal(syscall.SIGTERM)
	own.wait()
	until(t, "the copy of one that has left", func() bool {
		return run(t, "ls", to+"?where=copied_by:multipool&where=own:").code == 0 && strings.Contains(run(t, "ls", to).stdout, addr)
	})
	p.signal(syscall.SIGTERM)
	p.wait()
}

func TestCopiesInBothDirectionsKeepNothingAlive(t *testing.T) {
	addr := startEtcd(t)
	a, b := "etcd://"+addr+"/a/", "etcd://"+addr+"/b/"
	there := begin(t, nil, "copy", "--removal-grace", "0s", a, b)
	back := begin(t, nil, "copy", "--removal-grace", "0s", b, a)
	server := listen(t)
	own := begin(t, nil, "register", a, server)
	until(t, "the copy", func() bool { return strings.Contains(run(t, "ls", b).stdout, server) })
	own.signal(syscall.SIGTERM)
	own.wait()
	until(t, "the end of the copy", func() bool { return run(t, "ls", b).code == 3 })
	if r := run(t, "ls", a); r.code != 3 {
		t.Errorf("the server came back: %s", r.stdout)
	}
	for _, p := range []*program{there, back} {
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}
