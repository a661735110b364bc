// Package simulation holds the function against its promise in a simulated
// cloud: one process, a clock that is not the machine's, up to three instances
// of the handler that share journal, queue, ECD and topic, and one seed that
// decides at every call how long it takes and what it meets.
//
// It is all tests; docs/simulation.md says how to use it and what it shows. The
// files: schedule_test.go has what one schedule consists of, plan_test.go makes
// one of a seed, world_test.go runs it, machine_test.go and ecd_test.go are ECD,
// ports_test.go has the journal, the queue and the topic, log_test.go reads the
// journals, judge_test.go holds what happens against the promise, shrink_test.go
// makes a failing schedule short, and simulation_test.go drives it all.
//
// It relies on the handler's ports, on journal.Store and on the JSON of records
// and events, and on nothing inside of the handler or of rollout.
package simulation
