// Package model checks the protocol of docs/ownership.md by brute force: it
// visits every state that three nodes can reach within stated bounds and looks
// for one in which two datapaths accept the same bucket. It is written from the
// document and shares nothing with the code of package ownership. It is a test
// tool and part of no binary.
//
// Its one invariant: whatever it leaves out or simplifies, it adds runs and
// takes none away. So "no two owners" here holds for the protocol as well,
// within the bounds; a story of two owners has to be read with care.
//
// # What stands for what
//
// Time. No clock is modelled, only the one fact that all timing in the
// protocol is for: when a fence is over, so is what was promised (L_take after
// processing a beat is later than L after sending it). A promise ends when it
// likes, a fence when the promises it is for have ended, and nothing else ties
// the nodes' times together. That allows any drift, any L, any delay and any
// pause. The fact itself is checked beside, with clocks that tick at different
// and changing rates, in [Fences].
//
// Messages. None are modelled either. What a node has once said in a beat may
// have been heard by anyone since, or not: its beat may have been late, lost,
// doubled, overtaken, replayed, or held in a queue. Whether a node would have
// said it is left open too, since it beats at any time. A node need not even
// have been heard to be proposed as a member.
//
// Crashes and pauses. A node that makes no move is one that is frozen or
// crashed, with a datapath that goes on; a restart then clears the datapath and
// starts a new incarnation that remembers nothing. A goodbye is a restart that
// nothing follows. What promises to the incarnation before are over at that
// moment, known or not.
//
// Views. Any node may propose any majority at any time, with the bucket given
// to any member, and any place in the order above its own view: a superset of
// "one more than the highest number seen", whatever the names. A node adopts
// any newer view that contains it, or does not.
//
// Holds. A promise lasts as long as it likes, so one of H is a promise like any
// other, and a node whose daemon is away is one that makes no move. How long each
// kind lasts, with beats that ask for L or for H in any order, is checked in
// [Fences] too. That a start waits for all that was promised before is a rule here;
// how it knows of it (a note on a disk) is not modelled.
//
// Buckets. One is enough. A view gives it to any member, and no rule about one
// bucket asks about another but that a node claims nothing at all, which is
// then true earlier. Letting go is allowed at any time, not only when a view is
// cleared.
//
// Rules that only forbid (who proposes, when, mutual nodes, deaf nodes, no
// mutual node outside still owns) are left out.
//
// # The rules
//
// A node enters ready when what it promised to nodes outside its view is over,
// and what it promised before its start. It accepts the bucket when the view
// gives it to the node, the lease is good, the node is not barred in the view,
// and every other member has said that it does not claim the bucket (under this
// view or a newer one) and has promised it something, under this view and being
// ready in it, that is not over: its newest beat echoes one sent within L. The
// lease is good while one promise (of two, with itself a majority) is counted.
// A promise counts if it was given under a view not newer than the holder's and
// newer than the one in which the holder was barred last. A node promises
// nothing before L_take after its start. And one that was ready in a view that
// left x out promises x nothing until L_take after it left that view, unless x
// announces a newer view than that and claims nothing.
//
// [Fault] lists what may be broken; tests ask for two owners under each. In the
// stories that they print, a view is named by its place among those that still
// matter, so its number may fall; "OWNS" with "leased" is a datapath that
// accepts.
//
// # What is not covered
//
// More than three nodes; quorum none; two hosts with one name; two daemons that
// carry on from one state, or one that does after its lease; clocks that stop
// or are off by more than the stated bound; coverage (that every bucket has an
// owner) and locality, which are the simulator's. States are told apart by 64
// bits of a hash: with ten million of them, the chance that one was missed is
// one in 300,000.
package model
