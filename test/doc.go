// Package test judges rota from outside: the real binary on hosts of a lab,
// by what a client sees and by what is left on a host. The tests of a single
// package stand beside it; here is what only shows when all parts run.
//
// Its invariant: nothing here knows how rota works. A test starts, stops,
// orders and breaks as an operator, the hardware or a rival would, and asks
// the kernel, the client and the commands what became of it.
package test
