// Command thrift compares ways to call three Thrift servers, end to end over loopback, in one interleaved run. Package
// endtoend runs them, arm*.go has the arms.
//
//	go run ./thrift [-workloads regexp] [-rounds n] [-slice duration] [-o file]
package main

import (
	"github.com/minicaptain/multi_connection_pool/bench/internal/apache"
	"github.com/minicaptain/multi_connection_pool/bench/internal/endtoend"
	"github.com/minicaptain/multi_connection_pool/bench/internal/servers"
	"github.com/minicaptain/multi_connection_pool/protocol/thriftpool/echo"
)

func main() { comparison().Main() }

func comparison() endtoend.Comparison {
	return endtoend.Comparison{
		Protocol: "Thrift",
		Listen:   listen,
		Workloads: []endtoend.Workload{
			{Callers: 1, Payload: 100}, {Callers: 16, Payload: 100}, {Callers: 128, Payload: 100}, {Callers: 16, Payload: 4096},
		},
		Arms:  arms(),
		Bases: []endtoend.Base{{Arm: raw, Label: raw}, {Arm: rawRotated, Label: rawRotated}},
		Goals: goals,
	}
}

// listen echoes, framed and binary.
func listen(addr string) (s servers.Server, err error) {
	s.Addr, s.Serve, err = apache.Listen(addr, echo.Service{})
	return s, err
}

// goals are those of the pool. Allocations are counted at 100 bytes, in whole objects per call beyond those of a bare
// client.
func goals(load endtoend.Workload, r map[string]endtoend.Result) []endtoend.Goal {
	stock, own, base, rotated := r[poolStock], r[poolOwn], r[raw], r[rawRotated]
	ratio := endtoend.Ratio
	all := []endtoend.Goal{
		{Name: "G1 Apache transport, throughput to rawrr", AtLeast: true, Target: 0.98, Got: ratio(stock.Rate, rotated.Rate)},
		{Name: "G1 Apache transport, CPU to rawrr", Target: 1.05, Got: ratio(stock.CPU, rotated.CPU)},
		{Name: "G2 own transport, throughput to rawrr", AtLeast: true, Target: 1.10, Got: ratio(own.Rate, rotated.Rate)},
		{Name: "G2 own transport, throughput to raw", AtLeast: true, Target: 1.00, Got: ratio(own.Rate, base.Rate)},
		{Name: "G2 own transport, CPU to raw", Target: 0.85, Got: ratio(own.CPU, base.CPU)},
	}
	if load.Payload == 100 {
		all = append(all,
			endtoend.Goal{Name: "G3 Apache transport, allocations beyond raw", Target: 0, Got: stock.Beyond(base)},
			endtoend.Goal{Name: "G3 own transport, allocations beyond raw", Target: -1, Got: own.Beyond(base)})
	}
	return all
}
