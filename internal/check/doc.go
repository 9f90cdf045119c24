// Package check tests services: it asks them what clients ask, all at the same
// time, and reports each result with how long it took. It judges nothing:
// rise, fall and weights are of package health.
//
// Its one invariant: a check costs one slot and nothing else. A target that
// hangs delays no other check; when Run returns, or a probe is over, no
// goroutine, descriptor or process of it is left but what the kernel itself
// does not let go of (a file on a dead file server, a process that cannot be
// killed), and of that one at most per check.
//
// Every probe opens a connection of its own, because that is what a client does:
// a service that accepts no more would go unnoticed on one that is open. It is
// closed by a reset, so that neither side keeps it in TIME_WAIT: at a thousand
// probes a second those would fill the host's tables.
//
// What says one thing to an address and judges the answer is held by a switchboard, with all
// others of its sort in one goroutine; anything else has a goroutine of its own.
package check
