package discovery

import (
	"fmt"
	"testing"
)

// BenchmarkFollowOneChangeAmongTenThousand is the way of a report through
// Follow, without the waiting.
func BenchmarkFollowOneChangeAmongTenThousand(b *testing.B) {
	for _, attrs := range []map[string]string{nil, {"version": "7", "region": "eu"}} {
		b.Run(fmt.Sprintf("attributes=%d", len(attrs)), func(b *testing.B) {
			sets := [2][]Endpoint{make([]Endpoint, 10_000), nil}
			for i := range sets[0] {
				sets[0][i] = Endpoint{Addr: fmt.Sprintf("10.0.%d.%d:9090", i/250, i%250), Zone: "a", Attrs: attrs}
			}
			sets[1] = append(sets[1], sets[0]...)
			sets[1][5_000].Addr = "10.1.0.1:9090"
			n := 0
			r := &following{
				Follower: Follower{Changed: func(c Change) { n += len(c.Added) }},
				turn:     make(chan struct{}, 1),
				reports:  make(chan *report, 1),
			}
			for i := 0; b.Loop(); i++ {
				r.receive(sets[i%2], false)
				r.pending = <-r.reports
				r.update()
			}
			if n != 10_000+b.N-1 {
				b.Errorf("%d endpoints were added in %d reports", n, b.N)
			}
		})
	}
}
