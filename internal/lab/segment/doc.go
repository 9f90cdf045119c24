// Package segment builds one Ethernet segment on this machine: a switch (a
// flooding bridge in a network namespace of its own) and hosts (network
// namespaces, each with one interface eth0), and breaks it on request: frames
// or beats lost by chance, hosts cut off, cables pulled.
//
// It knows nothing of rota but the port of its beats. Its invariant: nothing
// it makes outlives Close, and what a killed process left is found again by
// name (Remove).
package segment
