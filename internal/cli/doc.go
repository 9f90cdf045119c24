// Package cli is the rota command: it reads the command line, asks the daemon
// or the configuration, and writes the answer for a person or a program. It
// holds no logic that a program could not reach through the API.
//
// Its one invariant: an error is one line on standard error that says what to
// do, and the exit code tells whose fault it is: 1 refused or failed, 2 bad
// usage or bad configuration.
package cli
