package ownership

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"time"
)

// emit turns what changed into effects: tables first, then the lease, then
// the beat that tells of it.
func (n *Node) emit(heard bool) {
	if n.tableDirty {
		n.emitTables()
	}
	if n.leaseUntil > n.renewed && n.connected() {
		n.renewed = n.leaseUntil
		n.out = append(n.out, RenewLease{Until: n.leaseUntil})
	}
	n.emitBeat(heard)
	n.out = append(n.out, n.after...)
	n.out = append(n.out, WakeAt{At: n.nextWake()})
}

// emitTables sends every pool's table that is not what the datapath has. The
// first ones clear what an earlier start may have left.
func (n *Node) emitTables() {
	n.tableDirty = false
	for i, pool := range n.cfg.Pools {
		contested := n.lingeredByOthers(i)
		states := make([]BucketState, pool.Buckets)
		for b := range states {
			switch k := uint32(b); {
			case n.owned[i].Has(k) && contested.Has(k):
				states[b] = Contested
			case n.owned[i].Has(k):
				states[b] = Mine
			case n.lingers[i].Has(k):
				states[b] = Lingering
			}
		}
		if n.states[i] != nil && slices.Equal(states, n.states[i]) {
			continue
		}
		if n.states[i] == nil {
			n.out = append(n.out, RenewLease{})
		}
		n.states[i] = states
		n.out = append(n.out, SetTable{Pool: i, States: slices.Clone(states)})
	}
}

// lingeredByOthers: the buckets in which a live peer still has connections, also
// one whose pool differs by now.
func (n *Node) lingeredByOthers(pool int) Bitmap {
	m := NewBitmap(n.cfg.Pools[pool].Buckets)
	for _, p := range n.peers {
		if p.silent || p.left {
			continue
		}
		for w, word := range p.lingers(pool) {
			if w < len(m) {
				m[w] |= word
			}
		}
	}
	return m
}

// emitBeat sends when the interval is over, when something changed, and twice
// more after a change. It answers a beat rather than to wake up again soon: so nodes beat in step, and
// one that hears many others wakes up once or twice in an interval, not for each of them.
func (n *Node) emitBeat(heard bool) {
	if n.muted {
		n.nextBeat, n.extra, n.changed = n.now+n.interval, [2]Time{}, false
		return
	}
	if n.seq == 0 && n.now < n.nextBeat {
		return // still listening
	}
	jitter := n.interval * 15 / 100
	due := n.now >= n.nextBeat || heard && n.now >= n.nextBeat-jitter
	for i, at := range n.extra {
		if at != 0 && n.now >= at {
			n.extra[i], due = 0, true
		}
	}
	if n.changed {
		n.extra = [2]Time{n.now + repeatAfter1, n.now + repeatAfter2}
		n.changed, due = false, true
	}
	if !due {
		return
	}
	n.send()
	n.nextBeat = n.now + n.interval - jitter*Time(n.random()%1000)/1000
}

// tellOthers is for people, at the other nodes; here Status.Why says why the host cannot serve.
func (n *Node) tellOthers() []string {
	words := n.ownWords()
	if n.unfit != "" {
		words = append([]string{handsOver + n.unfit}, words...)
	}
	if waiting := n.outsiders(); len(waiting) > 0 {
		words = slices.Concat(words, waiting)
	}
	return words
}

// send makes the beat. Every echo to a member of the view is a promise: the
// fence counts from when that member's beat was processed.
func (n *Node) send() {
	n.seq++
	hold := n.holdAsked()
	n.stamps[n.seq%stampRing] = stamp{seq: n.seq, at: n.now, awake: n.awake, lease: n.lease, hold: hold}
	b := &Beat{
		From: n.cfg.Self, Host: n.cfg.Host, Seq: n.seq,
		View: n.view, Stage: n.stage, Flags: n.flags(), Lease: n.leaseToTell(), Asks: n.cfg.Lease, Hold: hold,
		Pools: make([]PoolBeat, len(n.cfg.Pools)), Echo: make([]Echo, 0, len(n.peers)),
		Sees: n.health.Sees, Address: n.cfg.Address, Health: n.tellOthers(), Expected: n.expected(), Pins: n.tellPins(),
	}
	b.Orders, b.Answers = n.tellOrders()
	if n.viewSeq == 0 {
		n.viewSeq = n.seq
	}
	for i, pool := range n.cfg.Pools {
		b.Pools[i] = PoolBeat{
			Name: pool.Name, Fingerprint: pool.Fingerprint, Addresses: pool.Addresses,
			Weight: n.ownWeight(i), Illness: n.illness(i), Priority: pool.Priority, Spread: pool.Spread, Preempt: pool.Preempt,
			Claims: n.owned[i].Clone(), Lingers: n.lingers[i].Clone(),
		}
	}
	for _, p := range n.peers {
		if n.awake-p.heardAwake > 4*n.takeFrom(p) {
			continue // no row: silent
		}
		p.withhold = n.withholds(p)
		held := n.vouch(p)
		b.Echo = append(b.Echo, Echo{
			Ref: p.ref, Seq: p.beat.Seq, Mutual: p.mutual && !p.unlike, Silent: p.silent, Withheld: p.withhold, Held: held,
			Second: !p.silent && n.bySecondOnly(p, n.seldom()),
		})
		if p.member() && !p.left && !p.withhold {
			p.fence = max(p.fence, p.heard+p.beat.bind(held))
			p.fenceView = n.view.ID
		}
	}
	n.out = append(n.out, Send{Beat: b, Direct: n.direct()})
}

func (n *Node) flags() Flags {
	f := barFlags[n.bar]
	if n.leaves() {
		f |= FlagDraining
	}
	if n.stopped {
		f |= FlagLeaving
	}
	if n.frameless || n.bar != barDeaf && !n.viewProven && !(n.proven && n.view.ID.Number == 0) {
		f |= FlagUnproven
	}
	if n.evidence() == clientsCome {
		f |= FlagClients
	}
	if n.hold.since != 0 {
		f |= FlagHolding
	}
	return f
}

// nextWake is when something happens by itself: a beat is due, a peer becomes
// silent, a fence or the lease ends, a joiner has been patient enough.
func (n *Node) nextWake() Time {
	at := n.now + n.interval
	sooner := func(t Time) {
		if t > n.now && t < at {
			at = t
		}
	}
	sooner(n.nextBeat)
	for _, t := range n.extra {
		sooner(t)
	}
	sooner(n.leaseUntil)
	sooner(max(n.start+n.longestTake(), n.cfg.Promised))
	for _, f := range n.former {
		sooner(f.left + n.longestTake())
	}
	awake := func(t Time) { sooner(n.now + t - n.awake) }
	awake(n.provenAt + 2*n.interval)
	for _, p := range n.peers {
		if p.silent && n.now >= p.fence {
			continue
		}
		sooner(p.fence)
		awake(p.heardAwake + n.quiet())
		awake(p.heardAwake + n.deafAfter())
		awake(p.heardAwake + n.takeFrom(p))
		awake(p.echoAwake + n.takeFrom(p) + 2*n.interval + 1)
		if p.mutual && !p.member() {
			awake(p.mutualSince + n.patience(p))
		}
	}
	return at
}

func (n *Node) note(kind NoteKind, node, format string, args ...any) {
	n.out = append(n.out, Note{Kind: kind, Node: node, View: n.view.ID, Text: text(format, args...)})
}

// changeTo tells in words how v differs from the view in force.
func (n *Node) changeTo(v *View) string {
	var parts []string
	for _, m := range v.Members {
		switch i := n.view.index(m.Ref); {
		case i < 0:
			parts = append(parts, "with "+m.Name)
		case !slices.Equal(n.view.Members[i].Weights, m.Weights):
			if change := weighText(&n.view, v, &n.view.Members[i], &m); change != "" {
				parts = append(parts, change)
			}
		}
	}
	for _, m := range n.view.Members {
		if !v.has(m.Ref) {
			parts = append(parts, "without "+m.Name+" ("+n.whyGone(m.Ref)+")")
		}
	}
	if !slices.Equal(pinsFor(&n.view, v.Pools), v.Pins) {
		parts = append(parts, "pins changed")
	}
	parts = append(parts, n.activesTo(v)...)
	if len(parts) == 0 {
		return "same members, taken up anew"
	}
	return strings.Join(parts, ", ")
}

// weighText tells in words what a member's weights are, if they have changed.
func weighText(before, v *View, was, is *Member) string {
	var parts []string
	for i, pool := range v.Pools {
		old := NoShare
		if at := before.pool(pool); at != absent {
			old = was.Weights[at]
		}
		switch w := is.Weights[i]; {
		case w == old:
		case w == NoShare:
			parts = append(parts, "nothing in pool "+pool)
		case len(v.Pools) == 1:
			parts = append(parts, fmt.Sprintf("%d", w))
		default:
			parts = append(parts, fmt.Sprintf("%d in pool %s", w, pool))
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return is.Name + " weighs " + strings.Join(parts, ", ")
}

func (n *Node) whyGone(r Ref) string {
	p := n.peer(r.Name)
	switch {
	case r == n.cfg.Self:
		return "this node"
	case p == nil:
		return "never heard"
	case p.ref != r:
		return "restarted"
	case p.left:
		return "said goodbye"
	case p.unlike:
		return "its pools differ"
	case p.beat.Flags&FlagDeaf != 0:
		return "deaf"
	case n.now-p.heard > n.interval*3/2:
		return fmt.Sprintf("silent for %v", round(n.now-p.heard))
	case !p.mutual:
		return "does not hear this node"
	default:
		return "not heard by all"
	}
}

func text(format string, args ...any) string {
	if len(args) == 0 {
		return format
	}
	return fmt.Sprintf(format, args...)
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

func ones(w uint64) int { return bits.OnesCount64(w) }

func compareNames(a, b string) int { return cmp.Compare(a, b) }
