// Package netcfg puts what a shared address needs on one network interface and
// takes it away again: the address itself, the reception of the cluster's MAC,
// the announcements. It also says what the kernel knows about the interface.
// It decides nothing: who owns what is for ownership, and packets are for
// datapath.
//
// Everything it asks and sets goes through netlink, socket ioctls and packet
// sockets of the calling thread's network namespace, never through /sys, which
// shows the namespace it was mounted in and not the one the daemon runs in.
//
// The one invariant: nothing here binds a shared address to the node's own MAC.
// Adding an address sends no announcement by itself, those that Announce sends
// carry the cluster's MAC, and the caller adds an address only while the
// announcer (package datapath) is attached and removes it before detaching.
//
// What is set here outlives the process. It carries a mark (see Protocol), so
// that the next start finds what a crash left.
package netcfg
