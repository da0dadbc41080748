package main

import (
"fmt"
"os"
"regexp"
)

func main() {
	re, ra := regexp.MustCompile(os.Args[1]), regexp.MustCompile(os.Args[2])
	for _, s := range []scenario{homogeneous(1), homogeneous(20), heterogeneous(), slow(), pauses(), coldJoin(), flashCrowd()} {
		if !re.MatchString(s.name) {continue}
		best := play(s, ideal, false, 1)
		fmt.Printf("%-24s ideal p99 %4.1f:", s.name, best.quantile(.99).Seconds()*1000)
		for _, a := range append(peers(), ours) {
 if !ra.MatchString(a.name) {continue}

			o := play(s, a, false, 1)
			fmt.Printf(" %6.2f", float64(o.quantile(.99))/float64(best.quantile(.99)))
			if s.victims>0 { fmt.Printf(" (%.3f %%)", 100*float64(o.victim)/float64(o.calls))}
		}
		fmt.Println()
	}
	for _, s := range []scenario{blackHole(), grey(), hang(), halfDead(), allFail()} {
		if !re.MatchString(s.name) {continue}
		best := play(s, ideal, false, 1)
		fmt.Printf("%-24s ideal p99.9 %4.1f fail %.3f\n", s.name, best.quantile(.999).Seconds()*1000, 100*float64(best.failed)/float64(best.calls))
		for _, a := range append(peers(), ours) {
 if !ra.MatchString(a.name) {continue}

			for _, r := range []bool{false, true} {
			o := play(s, a, r, 1)
			fmt.Printf("   %-22s %6.2f  p99.9 %6.2f victim %.3f %% fail %.3f %% visible %.4f %% ej %d back %v\n", a.name, float64(o.quantile(.99))/float64(best.quantile(.99)),
			float64(o.quantile(.999))/float64(best.quantile(.999)), 100*float64(o.victim)/float64(o.calls), 100*float64(o.failed)/float64(o.calls), 100*float64(o.visible)/float64(o.calls), o.ejections, o.back)
			}
		}
	}
}
