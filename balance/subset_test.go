package balance

import (
	"fmt"
	"math"
	"testing"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/internal/load"
)

// uses returns how much each of some clients uses each endpoint, as a part of its
// calls, and the endpoints that it uses, by address.
func uses(clients int, weights ...float64) (parts []map[string]float64) {
	var members []Member
	for i, w := range weights {
		members = append(members, NewMember(discovery.Endpoint{Addr: fmt.Sprint("server", i), Weight: w}, new(load.Load)))
	}
	f := newFleet(members)
	for k := range clients {
		part, total := map[string]float64{}, 0.0
		c := subsetConfig{index: k, clients: clients, least: minAperture}
		all := c.choose(&f)
		for i := range all {
			total += all[i] * f.share[i]
		}
		for i, p := range all {
			if p > 0 {
				part[members[i].Endpoint.Addr] = p * f.share[i] / total
			}
		}
		parts = append(parts, part)
	}
	return parts
}

// connections returns how many connections clients have if each has one to each
// endpoint that it uses.
func connections(parts []map[string]float64) (n int) {
	for _, p := range parts {
		n += len(p)
	}
	return n
}

func TestAllClientsTogetherUseEndpointsByWeight(t *testing.T) {
	for _, clients := range []int{1, 2, 3, 7, 20, 200} {
		for _, weights := range [][]float64{
			equal(1), equal(12), equal(13), equal(20), equal(99), equal(100), equal(119), equal(120), equal(300),
			append(equal(60), 2, 3, 4, 5, 2, 3, 4, 5, 2, 3, 4, 5), append(equal(100), 1000),
		} {
			total := 0.0
			for _, w := range weights {
				total += w
			}
			load := map[string]float64{}
			for k, part := range uses(clients, weights...) {
				if len(part) < min(minAperture, len(weights)) {
					t.Errorf("client %d of %d uses %d of %d endpoints", k, clients, len(part), len(weights))
				}
				for addr, p := range part {
					load[addr] += p / float64(clients)
				}
			}
			for i, w := range weights {
				if got := load[fmt.Sprint("server", i)] * total / w; math.Abs(got-1) > 1e-3 {
					t.Errorf("%d clients: endpoint %d of %d, of weight %v, has %.4f of its share of the calls", clients, i, len(weights), w, got)
				}
			}
		}
	}
}

func TestOneEndpointMoreOrLessIsNoCliff(t *testing.T) {
	for _, clients := range []int{2, 20} {
		before := uses(clients, equal(250)...)
		for n := 249; n >= 1; n-- {
			now := uses(clients, equal(n)...)
			for k, part := range now {
				fresh := 0
				for addr := range part {
					if _, ok := before[k][addr]; !ok {
						fresh++
					}
				}
				if fresh > 3 {
					t.Errorf("%d clients: client %d opens %d connections when of %d endpoints one leaves", clients, k, fresh, n+1)
				}
			}
			if a, b := connections(before), connections(now); b > a+clients || b < a-2*clients {
				t.Errorf("%d clients have %d connections to %d endpoints, and %d when one leaves", clients, a, n+1, b)
			}
			before = now
		}
	}
}
