package balance_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// ranked returns members with these priorities, and their loads.
func ranked(priorities ...string) (members []balance.Member, loads []*balancetest.Load) {
	for i, p := range priorities {
		e := discovery.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:1", i)}
		if p != "" {
			e.Attrs = map[string]string{"priority": p}
		}
		m, l := balancetest.NewMember(e)
		members, loads = append(members, m), append(loads, l)
	}
	return members, loads
}

// picked returns which members get calls.
func picked(p balance.Picker, info func(i int) balance.PickInfo) (all []int) {
	for i := range 200 {
		if m := p.Pick(info(i)); !slices.Contains(all, m) {
			all = append(all, m)
		}
	}
	slices.Sort(all)
	return all
}

func TestOnlyTheLowestPriorityWithAnAvailableEndpointGetsCalls(t *testing.T) {
	plain := func(int) balance.PickInfo { return balance.PickInfo{} }
	keyed := func(i int) balance.PickInfo {
		return balance.PickInfo{Hash: balance.Hash(fmt.Sprint(i)), Keyed: true}
	}
	for name, info := range map[string]func(int) balance.PickInfo{"calls": plain, "keyed calls": keyed} {
		for _, inner := range []func() balance.Balancer{balance.RoundRobin, leastLatency, func() balance.Balancer { return balance.Maglev() }} {
			members, loads := ranked("20", "10", "100", "10", "20")
			p := balance.Priority(inner()).Build(nil, members)
			is := func(what string, want ...int) {
				t.Helper()
				if got := picked(p, info); !slices.Equal(got, want) {
					t.Errorf("%s, %s: went to %v, want %v", name, what, got, want)
				}
			}
			is("all are up", 1, 3)
			loads[1].SetDown(true)
			is("one of the lowest is down", 3)
			loads[3].SetDown(true)
			is("the lowest are down", 0, 4)
			loads[0].SetDown(true)
			loads[4].SetDown(true)
			is("the last is up", 2)
			loads[2].SetDown(true)
			if got := picked(p, info); slices.ContainsFunc(got, func(i int) bool { return i != 1 && i != 3 }) {
				t.Errorf("%s, none is up: went to %v", name, got)
			}
			loads[1].SetDown(false)
			is("one of the lowest is back", 1)
		}
	}
}

func TestPriorityThatIsNoNumberIsTheFirst(t *testing.T) {
	members, _ := ranked("1", "", "-1", "high", "4294967296", "0")
	p := balance.Priority(balance.RoundRobin()).Build(nil, members)
	if got := picked(p, func(int) balance.PickInfo { return balance.PickInfo{} }); !slices.Equal(got, []int{1, 2, 3, 4, 5}) {
		t.Errorf("went to %v", got)
	}
}

// What inner has learned of a priority is its own, from set to set.
func TestEachPriorityHasAPickerOfItsOwn(t *testing.T) {
	inner := &counting{}
	b := balance.Priority(inner)
	members, _ := ranked("2", "1", "2")
	p := b.Build(nil, members)
	p.Report(2, balance.Report{})
	p.Report(-1, balance.Report{})
	p.Report(3, balance.Report{})
	p.(balance.Ticker).Tick(1)
	members, _ = ranked("3", "2", "2", "2")
	b.Build(p, members)
	if want := []string{"build 1 of nothing", "build 2 of nothing", "report 1 of 2", "tick of 1", "tick of 2", "build 3 of 2", "build 1 of nothing"}; !slices.Equal(inner.log, want) {
		t.Errorf("got %q, want %q", inner.log, want)
	}
	if err := balance.Priority(nil).(interface{ Validate() error }).Validate(); err == nil {
		t.Error("a nil balancer is no error")
	}
	bad := balance.Priority(balance.Subset(0, 0, balance.RoundRobin())).(interface{ Validate() error }).Validate()
	if bad == nil {
		t.Error("the mistake of the inner balancer is no error")
	}
}

// counting notes what it is asked, by the number of members.
type counting struct{ log []string }

func (c *counting) Build(previous balance.Picker, members []balance.Member) balance.Picker {
	of := "nothing"
	if b, ok := previous.(*countingPicker); ok {
		of = fmt.Sprint(b.size)
	}
	c.log = append(c.log, fmt.Sprintf("build %d of %s", len(members), of))
	return &countingPicker{c, len(members)}
}

type countingPicker struct {
	c    *counting
	size int
}

func (p *countingPicker) Pick(balance.PickInfo) int { return 0 }

func (p *countingPicker) Report(i int, _ balance.Report) {
	p.c.log = append(p.c.log, fmt.Sprintf("report %d of %d", i, p.size))
}

func (p *countingPicker) Tick(t time.Duration) {
	p.c.log = append(p.c.log, fmt.Sprintf("tick of %d", p.size))
}
