// Package bench measures rota from outside, beside what people use today: how
// long a client waits when a node is lost, what an idle daemon costs, what
// planned changes and a node that comes back do to live connections, and (with the
// build tag soak) what a fully loaded machine does to the cluster.
//
// It judges by what a client sees, in a lab. Each benchmark prints its figures
// in a line for people as well as in Go's columns.
//
// Its invariant: rota and what it is compared with are measured by the same
// probe, in the same run, on the same wire.
package bench
