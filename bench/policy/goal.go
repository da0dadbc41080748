package main

// goal is a target for a figure of a scenario.
type goal struct {
	scenario scenario
	// retry repeats calls that fail on other servers.
	retry bool
	name  string
	unit  string
	// target is what the figure must not exceed: zero or more, or none.
	target float64
	// peer is the best figure of another policy in the comparison that the target was taken from.
	peer string
	// figure is computed from a run and from the omniscient balancer's run with the same arrivals.
	figure func(o, ideal *outcome) float64
	// alone leaves the figure out for all policies but this project's.
	alone bool
	// why says why the target is missed, and holds is what is reached and must not get worse. Goals that are met have
	// neither.
	why   string
	holds float64
}

// none is the target of a figure without one.
const none = -1

// p99 and p999 are quotients of latencies.
func p99(o, ideal *outcome) float64  { return o.quantile(0.99) / ideal.quantile(0.99) }
func p999(o, ideal *outcome) float64 { return o.quantile(0.999) / ideal.quantile(0.999) }

// Percentages of the calls: attempts at the victims, failed attempts, calls that failed for the caller.
func victims(o, _ *outcome) float64 { return o.percent(o.victim) }
func failed(o, _ *outcome) float64  { return o.percent(o.failed) }
func visible(o, _ *outcome) float64 { return o.percent(o.visible) }

// beyond is by how many percentage points more calls failed than had to.
func beyond(o, ideal *outcome) float64 { return o.percent(o.failed) - ideal.percent(ideal.failed) }

func late(o, _ *outcome) float64      { return float64(max(o.late, 0).Milliseconds()) }
func ejections(o, _ *outcome) float64 { return float64(o.ejections) }

const (
	ratio = "p99 to omniscient"
	lost  = "calls failed"
	shown = "calls failed, with retry"
)

// goals returns all goals. calls is how many calls are made to see whether a server is ejected without a reason.
func goals(calls float64) []goal {
	const nine = "The nine other servers have 78 % to do, and at that load a homogeneous fleet is no better (see its row): what " +
		"is missing is not lost at the odd server but at not knowing the queues of the others."
	const probes = "Three calls of each client show that a server fails, and each probe of it afterwards is a call that fails. " +
		"The target allows for two or three probes in 35 s. There are six or seven, most of them in the first three seconds: " +
		"a server that is back by then is to have its share again within half a second. Where calls may be made again, " +
		"nobody sees them."
	return []goal{
		{homogeneous(1), false, ratio, "", 1.02, "1.00", p99, false, "", 0},
		{homogeneous(20), false, ratio, "", 1.08, "1.10", p99, false, "", 0},
		{busier(), false, ratio, "", none, "", p99, false, "", 0},
		{heterogeneous(), false, ratio, "", 1.45, "2.02", p99, false, "", 0},
		{slow(), false, ratio, "", 1.07, "1.14", p99, false, nine, 1.13},
		{slow(), false, "calls to it", "%", 0.1, "", victims, false, "", 0},
		{pauses(), false, ratio, "", none, "1.93", p99, false, "", 0},
		{coldJoin(), false, ratio, "", 1.05, "1.10", p99, false, nine, 1.14},
		{flashCrowd(), false, ratio, "", 1.18, "1.20", p99, false, "", 0},
		{blackHole(), false, lost, "%", 0.1, "0.138", failed, false, probes, 0.22},
		{blackHole(), true, shown, "%", 0, "", visible, false, "", 0},
		{grey(), false, lost, "%", 0.25, "0.52", failed, false, "", 0},
		{grey(), true, shown, "%", 0.001, "", visible, false, "", 0},
		{
			hang(), false, "p99.9 to omniscient", "", 1.15, "11.3", p999, false,
			"Whatever goes to the server ends at the deadline, 36 times as late as the p99. That is five calls of each client: one " +
				"or two in flight when it stops, the rest probes. It is less than one in a thousand, but that one in a thousand " +
				"of the others must be found further out.",
			1.5,
		},
		{hang(), false, lost, "%", none, "", failed, false, "", 0},
		{halfDead(), false, lost, "%", 1, "1.85", failed, false, probes, 2},
		{halfDead(), true, shown, "%", 0.05, "", visible, false, "", 0},
		{allFail(), false, "failed beyond what had to", "%", 0.1, "0", beyond, false, "", 0},
		{allFail(), false, "failed still after", "ms", 100, "", late, false, "", 0},
		{allFail(), false, "ejections", "", 0, "", ejections, true, "", 0},
		{unlucky(calls), false, "ejections per 10^7 calls", "", 1, "", ejections, true, "", 0},
	}
}
