// Package peer carries payloads between the nodes of a segment, in frames of
// the same shape as the service's traffic: to the cluster's MAC and a shared
// address. What the switch does to the one, it does to the other. Beside that
// path there are others, for when that one fails: on another interface, and
// unicast between the nodes' own addresses.
//
// It knows nothing of what a payload says: internal/wire seals and opens. It
// gives the interface no address and makes it receive no MAC: internal/netcfg
// does.
//
// The one invariant: a slow reader or a broken interface costs payloads, which
// are counted, and never blocks or ends anything.
package peer
