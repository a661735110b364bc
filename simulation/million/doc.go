// Package million plays one release over very many desktops, in many fleets,
// accounts and regions, in a simulated cloud whose clock runs fast, and measures
// what it costs: calls, time, bytes and messages, and how each desktop fared.
//
// It is all tests. The handler runs as it is, in several instances, in a bubble
// of testing/synctest; the simulation next door looks for broken promises in
// small schedules, this one for what grows too much in a large one. The files:
// plan_test.go says how large it is and what is wrong in the cloud, ecd_test.go is
// ECD, stores_test.go the journal, the queue and the topic, stream_test.go the
// triggers that call the instances, figures_test.go what is measured, and
// million_test.go drives it. docs/benchmarks.md says what came of it.
package million
