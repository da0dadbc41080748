// Package outlier is outlier detection: it decides which endpoints get no calls
// for a while, since their calls fail and those of the others do not, and when
// they return.
//
// A pool runs it by default, over any balancer; core.WithOutlierDetection sets
// its [Config].
//
// The evidence against an endpoint is a cumulative sum (CUSUM: Page, "Continuous
// Inspection Schemes", Biometrika 41, 1954): the log of how much likelier each
// outcome is if the endpoint fails p1 of its calls than if it fails p0 of them,
// as the others do, never below zero. p1 is midway between p0 and 1. An endpoint
// that fails every call is ejected after three, one that fails every third after
// twelve, and one that fails as often as all the others never.
//
// An endpoint is in one of three states:
//
//	in service  it gets calls; enough evidence ejects it
//	ejected     it gets no calls until its ejection time is over
//	probing     half-open: one call at a time; two that succeed readmit it with
//	            half of the evidence, one that fails ejects it again
package outlier
