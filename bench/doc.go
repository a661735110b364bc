// Package bench measures the function as a whole: the binary that is deployed,
// run as Function Compute runs it (internal/localcloud/fc), against a stand-in
// of ECD, MNS and OSS that takes as long for a call as it is told and next to no
// processor time for it. The stand-in is a process of its own, so that the
// function's processor time and memory are the function's alone.
//
// What is measured, what it is measured against and how to read it is in
// docs/benchmarks.md. `make bench` runs everything; one line of it is
//
//	go test -run '^$' -bench 'Requests/journal=oss/desktops=1000$' -timeout 0 ./bench
//
// Two programs stand beside the function for comparison: empty, the least that
// fc-runtime-go-sdk can be given, and loop, the plain way to write this
// function.
package bench
