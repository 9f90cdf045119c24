// Package bpf holds the lab's BPF programs: faults of a switch port. They are
// for tests and demonstrations and share nothing with the datapath, so that
// the judge does not depend on the judged.
package bpf

//go:generate go tool bpf2go -cc clang-16 -strip llvm-strip-16 -cflags "-O2 -g -Wall -Werror" -target bpfel -type port -type pair -type loss -type direction Fault fault.c
