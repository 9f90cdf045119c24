// Package ownership decides which node owns which bucket.
//
// It is a state machine with no I/O, no clock, no goroutine and no global
// randomness: Step(now, event) in, effects out. The daemon runs it, and a
// deterministic simulator runs it with faults from a seed.
//
// The one invariant: two nodes that can hear each other never both accept new
// connections of one bucket; with QuorumMajority no two nodes ever do, as long
// as clock rates differ by at most 1 %.
//
// docs/ownership.md tells the protocol and the argument why it is safe, docs/agreement.md how the nodes come to one view.
package ownership
