package model

import (
	"fmt"
	"strings"
)

// act is what a move does.
type act uint8

const (
	actPropose act = iota
	actAdopt
	actForget
	actPromise
	actVouch
	actStale
	actLease
	actLapse
	actOver
	actAccept
	actDrop
	actRestart
	actCount
)

func (a act) String() string {
	return [...]string{
		"propose", "adopt", "forget", "promise", "vouch", "stale", "lease", "lapse", "over", "accept", "drop", "restart",
	}[a]
}

// move is one step of the cluster.
type move struct {
	act  act
	node int
	peer int   // who is promised, of promise, vouch, stale and over; the promiser, of lease
	view uint8 // of propose, adopt, stale and forget
	set  view  // of propose
}

const names = "ABC"

func (m move) String() string {
	who, peer := names[m.node], names[m.peer]
	switch m.act {
	case actPropose:
		return fmt.Sprintf("%c proposes view %d %s", who, m.view, m.set.String())
	case actAdopt:
		return fmt.Sprintf("%c adopts view %d", who, m.view)
	case actForget:
		return fmt.Sprintf("view %d is lost", m.view)
	case actPromise:
		return fmt.Sprintf("%c promises %c", who, peer)
	case actVouch:
		return fmt.Sprintf("%c promises %c, and says that it is ready", who, peer)
	case actStale:
		return fmt.Sprintf("%c left view %d L_take ago, which gave to %c", who, m.view, peer)
	case actLease:
		return fmt.Sprintf("%c has a lease by the promise of %c", who, peer)
	case actLapse:
		return fmt.Sprintf("the lease of %c ends: L after the beat it rests on", who)
	case actOver:
		return fmt.Sprintf("%c: fence for %c over, L_take after its beat", who, peer)
	case actAccept:
		return fmt.Sprintf("%c accepts", who)
	case actDrop:
		return fmt.Sprintf("%c drops", who)
	case actRestart:
		return fmt.Sprintf("%c crashes and restarts", who)
	}
	return "?"
}

func (v *view) String() string {
	var b strings.Builder
	b.WriteByte('{')
	for x := range nodes {
		if v.members.has(x) {
			b.WriteByte(names[x])
		}
	}
	b.WriteByte('}')
	if v.owner != nobody {
		fmt.Fprintf(&b, ", the bucket to %c", names[v.owner])
	}
	return b.String()
}

// String is a line about the state: for each node its view, whether it is
// ready in it, what it owns and whether its lease is good.
func (s *state) String() string {
	var b strings.Builder
	for x := range nodes {
		n := &s.nodes[x]
		told := fmt.Sprintf("%c in %d", names[x], n.view)
		if n.ready {
			told += " ready"
		}
		if n.owns {
			told += " OWNS"
		}
		if n.leased {
			told += " leased"
		}
		fmt.Fprintf(&b, "%-26s", told)
	}
	return strings.TrimRight(b.String(), " ")
}
