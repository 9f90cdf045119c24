package wire

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/rota-cluster/rota/internal/ownership"
)

// Bounds of what a beat may say, beside MaxNodes and MaxPools.
const (
	maxPriority = 1000
	maxPins     = 65536 // all buckets of the largest pool
	maxHealth   = 32    // lines; more are left out
	maxSees     = 48    // signs and their targets; more are left out
	maxText     = 128   // bytes of a line for people; longer ones are cut
	maxCause    = 384   // the same of a line of health, which may name a cause and what follows from it
)

var errPins = fmt.Errorf("pins: at most %d", maxPins)

// checkBeat holds beats to the bounds that the types of ownership state. A
// Sealer refuses to seal what an Opener would refuse to open.
func checkBeat(b *ownership.Beat) error {
	if b.Seq == 0 {
		return errors.New("beat: sequence numbers begin at 1")
	}
	if err := checkName(b.From.Name); err != nil {
		return fmt.Errorf("beat: sender %q: %w", b.From.Name, err)
	}
	if b.Stage > ownership.StageActive {
		return fmt.Errorf("beat: unknown stage %d", b.Stage)
	}
	if b.Lease < 0 || b.Asks < 0 {
		return fmt.Errorf("beat: negative lease %v, %v", b.Lease, b.Asks)
	}
	if b.Hold < 0 || b.Hold > ownership.MaxHold {
		return fmt.Errorf("beat: a hold of %v, not 0 to %v", b.Hold, ownership.MaxHold)
	}
	if err := checkView(&b.View); err != nil {
		return err
	}
	if b.Expected > ownership.MaxNodes {
		return fmt.Errorf("beat: %d expected nodes, not 0 to %d", b.Expected, ownership.MaxNodes)
	}
	if err := checkPools(b.Pools); err != nil {
		return err
	}
	if err := checkPinNews(&b.Pins); err != nil {
		return err
	}
	if err := checkOrders(b.Orders, b.Answers); err != nil {
		return err
	}
	return checkEcho(b.Echo)
}

func checkView(v *ownership.View) error {
	if v.ID.Number == 0 {
		if len(v.Members) > 0 || len(v.Pools) > 0 || len(v.Pins) > 0 || len(v.Actives) > 0 || v.ID.Proposer != (ownership.Ref{}) {
			return errors.New("view: number 0 means none, but something is in it")
		}
		return nil
	}
	if err := checkName(v.ID.Proposer.Name); err != nil {
		return fmt.Errorf("view: proposer %q: %w", v.ID.Proposer.Name, err)
	}
	if n := len(v.Members); n < 1 || n > ownership.MaxNodes {
		return fmt.Errorf("view: %d members, not 1 to %d", n, ownership.MaxNodes)
	}
	if err := checkViewPools(v.Pools); err != nil {
		return err
	}
	for i := range v.Members {
		m := &v.Members[i]
		if err := checkName(m.Name); err != nil {
			return fmt.Errorf("view: member %q: %w", m.Name, err)
		}
		if i > 0 && v.Members[i-1].Name >= m.Name {
			return fmt.Errorf("view: member %q is not in its place", m.Name)
		}
		if err := checkWeights(m.Weights, len(v.Pools)); err != nil {
			return fmt.Errorf("view: member %q: %w", m.Name, err)
		}
	}
	if err := checkActives(v.Actives, len(v.Pools)); err != nil {
		return err
	}
	return checkPins(v.Pins, len(v.Pools))
}

func checkActives(actives []ownership.Active, pools int) error {
	for i, a := range actives {
		if err := checkName(a.Node); err != nil {
			return fmt.Errorf("active node of pool %d: %q: %w", a.Pool, a.Node, err)
		}
		if int(a.Pool) >= pools || i > 0 && actives[i-1].Pool >= a.Pool {
			return fmt.Errorf("active node of pool %d is not in its place", a.Pool)
		}
	}
	return nil
}

func checkViewPools(pools []string) error {
	if len(pools) > ownership.MaxViewPools {
		return fmt.Errorf("view: %d pools, not 0 to %d", len(pools), ownership.MaxViewPools)
	}
	for i, name := range pools {
		if err := checkName(name); err != nil {
			return fmt.Errorf("view: pool %q: %w", name, err)
		}
		if i > 0 && pools[i-1] >= name {
			return fmt.Errorf("view: pool %q is not in its place", name)
		}
	}
	return nil
}

// checkWeights passes a view without names of pools, which earlier versions send:
// they are to be heard, though nobody adopts such a view.
func checkWeights(weights []uint16, pools int) error {
	if unnamed := pools == 0 && len(weights) <= ownership.MaxPools; len(weights) != pools && !unnamed {
		return fmt.Errorf("%d weights for %d pools", len(weights), pools)
	}
	for _, w := range weights {
		if err := checkWeight(w); err != nil {
			return err
		}
	}
	return nil
}

func checkWeight(w uint16) error {
	if w > ownership.MaxWeight && w != ownership.NoShare {
		return fmt.Errorf("weight %d, not 0 to %d", w, ownership.MaxWeight)
	}
	return nil
}

func checkPins(pins []ownership.Pin, pools int) error {
	if len(pins) > maxPins {
		return errPins
	}
	for i, p := range pins {
		if err := checkName(p.Node); err != nil {
			return fmt.Errorf("pin of bucket %d: node %q: %w", p.Bucket, p.Node, err)
		}
		if int(p.Pool) >= pools || p.Bucket >= maxBuckets {
			return fmt.Errorf("pin of bucket %d in pool %d: out of range", p.Bucket, p.Pool)
		}
		if i > 0 && comparePins(pins[i-1], p) >= 0 {
			return fmt.Errorf("pin of bucket %d in pool %d is not in its place", p.Bucket, p.Pool)
		}
	}
	return nil
}

// comparePins orders pins by pool and bucket; one bucket has one pin.
func comparePins(a, b ownership.Pin) int {
	return cmp.Or(cmp.Compare(a.Pool, b.Pool), cmp.Compare(a.Bucket, b.Bucket))
}

func checkPools(pools []ownership.PoolBeat) error {
	if len(pools) > ownership.MaxPools {
		return fmt.Errorf("beat: %d pools, not 0 to %d", len(pools), ownership.MaxPools)
	}
	for i := range pools {
		p := &pools[i]
		if err := checkName(p.Name); err != nil {
			return fmt.Errorf("beat: pool %q: %w", p.Name, err)
		}
		if i > 0 && pools[i-1].Name >= p.Name {
			return fmt.Errorf("beat: pool %q is not in its place", p.Name)
		}
		if err := checkWeight(p.Weight); err != nil {
			return fmt.Errorf("beat: pool %q: %w", p.Name, err)
		}
		if p.Priority > maxPriority {
			return fmt.Errorf("beat: pool %q: priority %d, not 0 to %d", p.Name, p.Priority, maxPriority)
		}
		for _, set := range []ownership.Bitmap{p.Claims, p.Lingers} {
			if nextBit(set, maxBuckets, 0) < 64*len(set) {
				return fmt.Errorf("beat: pool %q: a bucket beyond %d", p.Name, maxBuckets-1)
			}
		}
	}
	return nil
}

func checkEcho(echo []ownership.Echo) error {
	if len(echo) > ownership.MaxNodes {
		return fmt.Errorf("beat: %d echoes, not 0 to %d", len(echo), ownership.MaxNodes)
	}
	for i := range echo {
		e := &echo[i]
		if err := checkName(e.Name); err != nil {
			return fmt.Errorf("beat: echo of %q: %w", e.Name, err)
		}
		if i > 0 && echo[i-1].Name >= e.Name {
			return fmt.Errorf("beat: echo of %q is not in its place", e.Name)
		}
	}
	return nil
}

// cleanText makes a line that can be shown to people: valid, printable, at
// most maxText bytes. Text must never be a reason to drop a beat.
func cleanText(s string) string { return cleanTextTo(s, maxText) }

// cutOff ends a text of which something is missing.
const cutOff = "…"

func cleanTextTo(s string, limit int) string {
	plain := len(s) <= limit
	for i := 0; plain && i < len(s); i++ {
		plain = s[i] >= ' ' && s[i] < 0x7f
	}
	if plain {
		return s
	}
	var b strings.Builder
	fits := 0             // of it, if cutOff is to follow
	for _, r := range s { // invalid bytes come as U+FFFD
		if !unicode.IsPrint(r) {
			r = ' '
		}
		if b.Len()+len(string(r)) > limit {
			return b.String()[:fits] + cutOff
		}
		b.WriteRune(r)
		if b.Len()+len(cutOff) <= limit {
			fits = b.Len()
		}
	}
	return b.String()
}
