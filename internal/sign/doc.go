// Package sign reads the early warnings of this host: one small file for each
// place where the kernel tells of trouble before it becomes a failure. It judges
// nothing: thresholds are of package health, their defaults of package config,
// and the reasons for both stand in docs/signs.md.
//
// Its one invariant: what cannot be read is said, and why. That the kernel or
// the hardware does not tell (health.CannotTell), that somebody switched it off
// (health.SwitchedOff) and that it should be there and fails (health.Broken) are
// three answers, and none of them is "all is well".
package sign
