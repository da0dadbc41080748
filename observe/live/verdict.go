package live

import (
	"fmt"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
)

// count counts a server.
func (s *Summary) count(r row) {
	switch {
	case r.e.Ejected || r.e.Down:
		if r.e.Ejected {
			s.Ejected++
		}
		if r.e.Down {
			s.Down++
		}
		return
	case r.slow:
		s.Slow++
	}
	s.InService++
}

// judge says whether all is well with a pool.
func (s *Summary) judge(st *core.Stats) {
	var said []string
	say := func(l Level, format string, args ...any) {
		said = append(said, fmt.Sprintf(format, args...))
		if s.Level != Bad {
			s.Level = l
		}
	}
	s.Level = OK
	switch st.State {
	case core.StatePending:
		say(Bad, "no set of servers is known yet")
	case core.StateEmpty:
		say(Bad, "the registry has no server")
	case core.StateStale:
		say(Warn, "the registry is out of sight, the last known set is in use")
	case core.StateReady:
	}
	if s.Servers > 0 && s.InService == 0 {
		say(Bad, "no server is in service")
	}
	of := " of " + count(s.Servers, "server") // said once
	for _, part := range []struct {
		n     int
		state string
	}{{s.Ejected, "ejected"}, {s.Servers - s.InService - s.Ejected, "down"}, {s.Slow, "slow"}} {
		verb := "are"
		if part.n == 1 {
			verb = "is"
		}
		if part.n > 0 {
			say(Warn, "%d%s %s %s", part.n, of, verb, part.state)
			of = ""
		}
	}
	if st.Warning != nil {
		say(Warn, "the registry has something odd")
	}
	if s.Waiting > 0 {
		verb := "wait"
		if s.Waiting == 1 {
			verb = "waits"
		}
		say(s.Level, "%s %s for a connection", count(s.Waiting, "call"), verb)
	}
	if len(said) == 0 {
		s.Verdict = count(s.Servers, "server") + " in service"
		return
	}
	s.Verdict = strings.Join(said, ", ")
}

// overall says whether all is well with all pools.
func overall(pools []Summary) (Level, string) {
	const most = 3
	level, servers := OK, 0
	var said []string
	for _, s := range pools {
		servers += s.InService
		if s.Level == OK {
			continue
		}
		if level != Bad {
			level = s.Level
		}
		said = append(said, s.Name+": "+s.Verdict)
	}
	switch {
	case len(pools) == 0:
		return OK, "There is no pool yet."
	case len(said) == 0 && len(pools) == 1:
		return OK, "All is well: " + pools[0].Verdict + "."
	case len(said) == 0:
		return OK, fmt.Sprintf("All is well: %s, %s in service.", count(len(pools), "pool"), count(servers, "server"))
	case len(said) > most:
		said = append(said[:most], fmt.Sprintf("and %s more", count(len(said)-most, "pool")))
	}
	return level, strings.Join(said, "; ") + "."
}

// count is a number and what it counts.
func count(n int, what string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(what, "y"):
		what = strings.TrimSuffix(what, "y") + "ies"
	default:
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}
