// Package hook runs an operator's commands when something changes on the node,
// each with a JSON document on its standard input. What happened, and what is
// worth telling, is for others to decide.
//
// Its one invariant: Tell never waits. Commands run beside the caller, one at a
// time and in order each, for a limited time; who is too slow loses the oldest
// of what waits for it, and the log says so.
package hook
