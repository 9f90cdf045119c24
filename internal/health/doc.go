// Package health turns readings into decisions: is this sign or check well, how
// much of its share should this node carry in each pool, and who of a cluster
// in which everybody is ill goes on. It reads nothing itself: readings and the
// time come in, states and reasons go out.
//
// Its one invariant: of nodes that are all ill some go on. Nothing that this
// package says takes the last node that wants to serve out of a pool.
//
// From the bottom up: a Watch judges the readings of one sign against
// thresholds, a Tally the verdicts of one check by rise and fall; both come back
// with growing patience (ladder). Judge sums up what they found for one pool.
// Blame and Decide look at the whole cluster, by what each node told of itself.
//
// What Watch, Targets, Tally, Load and Blame have become is in exported fields, only so that it can be
// written down for the daemon that comes next. Nobody else looks at them.
package health
