// Package config reads and judges /etc/rota/rota.yaml, the key file beside it,
// and derives what all nodes of a cluster must derive alike from them: the
// cluster's MAC and the fingerprint of a pool.
//
// It judges the file alone: whether the interface exists or the kernel is new
// enough is for the daemon to say.
//
// Its one invariant: a *Config that Parse returned is within every bound that
// this package documents, so nobody after it checks again; and what is not
// understood is refused, never skipped.
package config
