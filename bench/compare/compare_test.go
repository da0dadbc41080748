package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestFiguresOfPublishedReportsAreFound(t *testing.T) {
	for file, want := range map[string]map[string]float64{ // allocations; times are new in each report
		"../RESULTS.md": {
			"one endpoint: multipool, CPU ns/op":       0,
			"one endpoint: go-commons-pool, CPU ns/op": 1,
		},
		"../pick/RESULTS.md": {
			"Pick, 4 calls in flight on each endpoint: multipool: whole call, 1,000":          0,
			"Pick, 0 calls in flight on each endpoint: grpc-go least_request: whole call, 10": 3,
			"Keys, 1000 endpoints: balance.Maglev, look-up, ns":                               0,
		},
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f := newFigures()
		f.add(1, string(text))
		for name, allocs := range want {
			g := f.byName[name]
			if g == nil || len(g.time[1]) != 1 || !slices.Equal(g.allocs[1], []float64{allocs}) {
				t.Errorf("%s, %s: %+v, want one time and %v allocations", file, name, g, allocs)
			} else if x := g.time[1][0]; x <= 0 || !strings.Contains(string(text), "| "+strconv.FormatFloat(x, 'f', -1, 64)) {
				t.Errorf("%s, %s: %v ns, which is not in the report", file, name, x)
			}
		}
		for _, name := range f.names {
			if strings.Contains(name, "goal") || strings.Contains(name, " to ") || strings.Contains(name, "wall") {
				t.Errorf("%s: %s is no time of its own", file, name)
			}
		}
	}
}

// reports is a program whose operations take some time; it notes its flags.
func reports(calls *[]string, build string, ns float64, allocs int) program {
	return func(args ...string) (string, error) {
		*calls = append(*calls, build+" "+strings.Join(args, " "))
		ns *= 1.5 // the machine slows down, for both
		return fmt.Sprintf("## one (1)\n\n| contender | CPU ns/op | allocs/op |\n|---|--:|--:|\n"+
			"| multipool | %.1f | %d.00 |\n| puddle | 100.0 | 0.00 |\n\n| goal | 10 |\n|---|---|\n| x | y |\n", ns, allocs), nil
	}
}

func TestProgramsTakeTurnsAndTheSlowerOneMisses(t *testing.T) {
	for _, c := range []struct {
		ns      float64
		allocs  int
		verdict string
	}{
		{1000, 0, "1.000 | 1.000-1.000 | 0.00 | 0.00 | <= 1.02 | met |"},
		{1200, 0, "1.200 | 1.200-1.200 | 0.00 | 0.00 | <= 1.02 | **missed** |"},
		{900, 1, "0.900 | 0.900-0.900 | 0.00 | 1.00 | <= 1.02 | **missed** |"},
	} {
		var out strings.Builder
		var calls []string
		flags := []string{"-slice", "1ms"}
		each, err := casesOf(reports(&calls, "", 1, 0), flags, "o")
		if err != nil || len(each) != 1 {
			t.Fatalf("cases %q, error %v", each, err)
		}
		if want := " -slice 1ms -cases o"; calls[0] != want {
			t.Errorf("cases are looked for by %q, want %q", calls[0], want)
		}
		calls = nil
		both := [2]program{reports(&calls, "old", 1000, 0), reports(&calls, "new", c.ns, c.allocs)}
		if err := compare(&out, both, 3, flags, each); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{c.verdict, "1 figures of peers"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in\n%s", want, &out)
			}
		}
		for i, build := range strings.Fields("old new new old old new") {
			if want := build + ` -slice 1ms -cases ^one \(1\)$`; calls[i] != want {
				t.Errorf("call %d is %q, want %q", i, calls[i], want)
			}
		}
	}
}

func TestOnlyAProgramThatKnowsTheFlagCanChoose(t *testing.T) {
	for said, want := range map[string]bool{
		"error parsing regexp: missing closing ): `(`":      true,
		"flag provided but not defined: -contenders\nUsage": false,
	} {
		if got := canChoose(func(...string) (string, error) { return "", errors.New(said) }); got != want {
			t.Errorf("%q: %v, want %v", said, got, want)
		}
	}
}

func TestVerdictNeedsMostRounds(t *testing.T) {
	for _, c := range []struct {
		ratios  []float64
		verdict string
	}{
		{[]float64{1.00, 1.01, 1.01, 1.20, 1.20}, "| met |"},
		{[]float64{1.00, 1.00, 1.03, 1.03, 1.03}, "| unclear |"},
		{[]float64{1.00, 1.03, 1.03, 1.03, 1.03}, "| **missed** |"},
		{nil, "| unclear |"},
	} {
		f := newFigures()
		f.names, f.byName["x"] = []string{"x"}, &figure{}
		for _, r := range c.ratios {
			f.byName["x"].time[0] = append(f.byName["x"].time[0], 1)
			f.byName["x"].time[1] = append(f.byName["x"].time[1], r)
		}
		var out strings.Builder
		if f.table(&out); !strings.Contains(out.String(), c.verdict) {
			t.Errorf("%v: no %s in\n%s", c.ratios, c.verdict, &out)
		}
	}
}

func TestFigureOfOneBuildOnlyIsNamed(t *testing.T) {
	var out strings.Builder
	f := newFigures()
	f.add(0, "## gone\n\n| | CPU ns/op |\n|---|--:|\n| multipool | 1.0 |\n")
	f.table(&out)
	if !strings.Contains(out.String(), "Only in one of the two: gone: multipool, CPU ns/op.") {
		t.Errorf("got\n%s", &out)
	}
}
