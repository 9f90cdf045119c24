// Package sim runs ownership's state machine against everything that can go
// wrong, in virtual time, from a seed: lost, late, doubled and overtaking
// beats, cuts in one or both directions, deaf, mute, slow and frozen nodes,
// crashes, restarts within the old lease, clocks of different rates.
//
// It is for tests only and is not a model of the protocol: it knows links,
// clocks, daemons and datapaths, and judges by what each node's datapath would
// accept, lease included.
//
// The one invariant: one scenario and one machine give one run, bit for bit.
package sim
