// Package lab runs a whole cluster on this machine: a switch, nodes that each
// run the real rota daemon and a real service, and a client, all in network
// namespaces; it breaks what it is told to break, and judges by what the
// client saw.
//
// Lab is the cluster, Node one of its hosts with the faults it can have,
// Command is `rota lab`. The parts know nothing of rota's inside: segment (the
// wire), service (what the nodes serve), probe (the judges), bpf (faults).
//
// Its invariant: a lab leaves nothing behind. What a killed lab could not
// clean up, the next one does; labs that live are never touched.
package lab
