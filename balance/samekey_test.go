package balance_test

import (
	"fmt"
	"testing"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// A process with the default balancer and one with Rendezvous send a key to the
// same server, whatever the weights and the order of the set.
func TestTheDefaultAndRendezvousPlaceAKeyOnTheSameServer(t *testing.T) {
	for name, weight := range map[string]func(i int) float64{
		"equal weights":     func(int) float64 { return 0 },
		"different weights": func(i int) float64 { return float64(1 + i%3) },
	} {
		for n := 1; n <= 9; n++ {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				var one, other []balance.Member
				for i := range n {
					m, _ := balancetest.NewMember(discovery.Endpoint{Addr: fmt.Sprintf("10.0.0.%d:80", i), Weight: weight(i)})
					one, other = append(one, m), append([]balance.Member{m}, other...)
				}
				standard := balance.LeastLatency(balance.LeastLatencyConfig{}).Build(nil, one)
				rendezvous := balance.Rendezvous().Build(nil, other)
				agree := 0
				for k := range 1000 {
					key := fmt.Sprint("user:", k)
					info := balance.PickInfo{Hash: balance.Hash(key), Keyed: true, Key: key}
					if one[standard.Pick(info)].Endpoint.Addr == other[rendezvous.Pick(info)].Endpoint.Addr {
						agree++
					}
				}
				if agree != 1000 {
					t.Errorf("they agree on %d of 1000 keys", agree)
				}
			})
		}
	}
}
