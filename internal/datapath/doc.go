// Package datapath decides in the kernel which packets for a shared address
// this node accepts.
//
// It holds the small BPF programs (bpf/), loads them, hands them bucket
// tables and leases, reads their counters, and puts them on interfaces. It
// takes no part in who owns what: that is ownership's.
//
// The one invariant: without a lease in force, nothing but beats and neighbour
// discovery for a shared address is accepted. The programs start without one,
// and lose it by themselves when nobody renews it.
package datapath
