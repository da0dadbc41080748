// Command http compares ways to call three HTTP servers, end to end over loopback, in one interleaved run. Package
// endtoend runs them, arm.go has the arms.
//
//	go run ./http [-workloads regexp] [-rounds n] [-slice duration] [-o file]
package main

import "github.com/minicaptain/multi_connection_pool/bench/internal/endtoend"

func main() { comparison().Main() }

// The versions of HTTP, without TLS.
const (
	http1 = "HTTP/1.1"
	http2 = "HTTP/2"
)

func comparison() endtoend.Comparison {
	return endtoend.Comparison{
		Protocol: "HTTP",
		Listen:   listen,
		Workloads: []endtoend.Workload{
			{Callers: 1, Payload: 100, Version: http1},
			{Callers: 16, Payload: 100, Version: http1},
			{Callers: 128, Payload: 100, Version: http1},
			{Callers: 16, Payload: 4096, Version: http1},
			{Callers: 16, Payload: 100, Version: http2},
			{Callers: 128, Payload: 100, Version: http2},
		},
		Arms:  []endtoend.Arm{{Name: plain, Open: openPlain}, {Name: ours, Open: openPool}, {Name: lb, Open: openLB}},
		Bases: []endtoend.Base{{Arm: plain, Label: "http.Client"}, {Arm: lb, Label: lb}},
		Goals: goals,
	}
}

// goals are those of the pool. httplb keeps one idle connection per server, which is enough for a single caller, and
// for HTTP/2.
func goals(load endtoend.Workload, r map[string]endtoend.Result) []endtoend.Goal {
	pool, hand := r[ours], r[plain]
	all := []endtoend.Goal{
		{Name: "G12 throughput to http.Client", AtLeast: true, Target: 1.00, Got: endtoend.Ratio(pool.Rate, hand.Rate)},
		{Name: "G12 allocations beyond http.Client", Target: 2, Got: pool.Beyond(hand)},
	}
	if load.Callers >= 16 && load.Version == http1 {
		all = append(all, endtoend.Goal{
			Name: "G12 throughput to httplb", AtLeast: true, Target: 2.00, Got: endtoend.Ratio(pool.Rate, r[lb].Rate),
		})
	}
	return all
}
