// Package daemon is the one place that wires everything: it sets the host up,
// runs the ownership state machine in one event loop, carries out its effects
// in the datapath and on the wire, and leaves the host as it found it.
//
// Its one invariant: the effects of a step are carried out in their order, and
// when one that takes ownership away fails, the lease is ended and the daemon
// stops. So no peer is told of a release that the kernel has not made.
package daemon
