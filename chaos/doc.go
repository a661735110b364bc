// Package chaos kills the function and breaks the cloud around it, and counts
// what became of the desktops.
//
// The real binary runs as on Function Compute, against the local cloud. A
// schedule follows from a seed: some desktops, some requests and releases, some
// people who come and go, and a storm in which calls fail in every way that
// internal/localcloud/fault knows, ECD gives any answer there can be (status,
// code, of the call or of a desktop, the work done or not), messages come twice, instances run side by
// side, and the process is killed (kill -9) at moments that the stand-ins
// choose: when a call was just received, done or answered. Then the storm is
// over, what is left may end, and a judge compares what ECD wiped, what the
// journals say and what the world was told.
//
// The cloud's clock is moved by hand, so a schedule of days takes a second or
// two. The plan of a schedule is the same for the same seed; which of two
// processes is faster is not, so a failure may need some reruns to be seen
// again. What the judge finds is printed with the command that reruns it.
//
//	make chaos TIME=10m        schedules for ten minutes, and every step
//	make chaos SCHEDULES=1000  so many schedules
//
// The files: chaos_test.go has the tests and their budget, plan_test.go makes up
// a schedule, fleets_test.go its fleets, world_test.go lives it, operator_test.go
// is who has things go on that stand still, wipes_test.go judges each rebuild at
// the moment it starts, judge_test.go judges the end, found_test.go keeps what
// was found.
package chaos
