// Package probe judges a cluster by what a client sees: who answers, how
// long it takes, what is never answered, what is answered twice, what breaks.
//
// Its connections are real ones of the client's kernel (Burst, Flows, Held, Arrivals); a
// Tap reads the frames beside them, because a second answer is something that
// sockets hide. A probe is made by its constructor, works in Run until its
// work is done or its context ends, and returns a report. All of them are
// bounded in number and time.
//
// It is not part of the cluster, and believes nothing that a node says about itself.
package probe
