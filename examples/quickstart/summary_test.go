package main

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestSummaryHasAColumnForEachPhase(t *testing.T) {
	st := newStats([]string{"a:1", "b:1"})
	at := func(d time.Duration) period {
		p := st.now()
		p.to = d
		return p
	}
	for range 3 {
		st.answered("a:1", 100*time.Microsecond)
	}
	st.answered("b:1", 100*time.Microsecond)
	first := at(2 * time.Second)
	st.answered("a:1", 20*time.Millisecond)
	st.failed(nil)
	all := at(4 * time.Second)

	got := summary([]phase{{"before", first}, {"after", all.since(first)}}, st.servers, all, 7)
	want := `
                        before             after
                   0.0 - 2.0 s       2.0 - 4.0 s
calls                        4                 2
lost                         0                 1
p50                    0.10 ms           20.4 ms
p99                    0.10 ms           20.4 ms
longest                0.10 ms           20.4 ms
share of a:1            75.0 %           100.0 %
share of b:1            25.0 %             0.0 %

6 calls, 2 a second; 1 lost, 1 repeated at another server
`
	if got != want[1:] {
		t.Errorf("got\n%swant%s", got, want)
	}
}

func TestLostCallsAreAnErrorWithTheFirstCauses(t *testing.T) {
	st := newStats([]string{"a:1"})
	st.answered("a:1", time.Millisecond)
	var out strings.Builder
	if err := conclude(&out, st, nil, 0); err != nil {
		t.Errorf("nothing was lost: %v", err)
	}
	st.failed(errors.New("connection reset"))
	err := conclude(&out, st, nil, 0)
	if err == nil || !strings.Contains(err.Error(), "1 calls were lost") || !strings.Contains(err.Error(), "connection reset") {
		t.Errorf("error %v", err)
	}
}

func TestSummaryOfARunThatWasCutShortHasOnlyThePhasesThatBegan(t *testing.T) {
	st := newStats([]string{"a:1"})
	var out strings.Builder
	if err := conclude(&out, st, []period{st.now()}, 0); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "one killed") || strings.Contains(out.String(), "started again") {
		t.Errorf("printed\n%s", out.String())
	}
}
