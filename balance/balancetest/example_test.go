package balancetest_test

import (
	"fmt"

	"github.com/minicaptain/multi_connection_pool/balance"
	"github.com/minicaptain/multi_connection_pool/balance/balancetest"
	"github.com/minicaptain/multi_connection_pool/discovery"
)

// A picker chooses between two members, one of which has a call in flight.
func ExampleNewMember() {
	idle, _ := balancetest.NewMember(discovery.Endpoint{Addr: "10.0.0.1:9090"})
	busy, load := balancetest.NewMember(discovery.Endpoint{Addr: "10.0.0.2:9090"})
	load.Begin()

	members := []balance.Member{busy, idle}
	picker := balance.LeastInFlight().Build(nil, members)
	fmt.Println(members[picker.Pick(balance.PickInfo{})].Endpoint.Addr)
	// Output: 10.0.0.1:9090
}
