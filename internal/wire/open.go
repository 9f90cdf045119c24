package wire

import (
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/rota-cluster/rota/internal/ownership"
)

// OpenerConfig is what an Opener needs.
type OpenerConfig struct {
	Keys    [][]byte      // cluster keys to accept, one or more, KeyBytes long each
	Cluster string        // the cluster's name
	Self    ownership.Ref // what comes back from this sender is dropped
	Heard   []Heard       // what Opener.Heard told of an earlier one; the first MaxHeard count
}

// Opener opens the payloads of all senders of a cluster. Only Counts and
// Abandoned may be called beside another call.
type Opener struct {
	cluster   string
	clusterID uint64
	self      ownership.Ref
	keys      []rootKey
	senders   map[string]*sender
	clock     uint64 // payloads that were news, so far: the time that senders age by
	counts    counters
	abandoned atomic.Uint64
	memory    memory
	nonce     [12]byte // scratch
	plain     []byte   // scratch: one part
	whole     []byte   // scratch: a beat of several parts
}

// NewOpener makes an Opener that knows no sender.
func NewOpener(cfg OpenerConfig) (*Opener, error) {
	o := &Opener{
		cluster:   cfg.Cluster,
		clusterID: clusterID(cfg.Cluster),
		self:      cfg.Self,
		senders:   make(map[string]*sender),
		plain:     make([]byte, 0, MaxPart),
	}
	for _, h := range cfg.Heard[:min(len(cfg.Heard), MaxHeard)] {
		o.senders[h.From.Name] = &sender{name: h.From.Name, session: session{incarnation: h.From.Incarnation}, seq: h.Seq}
	}
	return o, o.SetKeys(cfg.Keys)
}

// SetKeys replaces the accepted cluster keys. What is known of the senders
// stays, so a change of keys does not let a replay in.
func (o *Opener) SetKeys(keys [][]byte) error {
	if len(keys) == 0 {
		return errors.New("opener: no cluster key")
	}
	roots := make([]rootKey, 0, len(keys))
	for _, key := range keys {
		root, err := newRootKey(key)
		if err != nil {
			return fmt.Errorf("opener: %w", err)
		}
		roots = append(roots, root)
	}
	o.keys = roots
	for _, s := range o.senders {
		s.aead = nil // perhaps of a key that is gone
	}
	return nil
}

// KeyOf is the KeyID of the cluster key that the newest authentic payload of
// this sender was sealed with; false if there was none since the start.
func (o *Opener) KeyOf(from ownership.Ref) (string, bool) {
	s := o.senders[from.Name]
	if s == nil || s.heard == 0 || s.incarnation != from.Incarnation {
		return "", false
	}
	return s.session.key.String(), true
}

// Counts tells how often Open returned each Reason.
func (o *Opener) Counts() Counts { return o.counts.snapshot() }

// Abandoned counts the beats of which some part came but never all: a newer
// one of the same sender came first.
func (o *Opener) Abandoned() uint64 { return o.abandoned.Load() }

// Open opens one UDP payload. It returns a beat and ReasonAccepted once all
// its parts have come, else nil and why there is none. It neither keeps nor
// changes payload.
func (o *Opener) Open(payload []byte) (*ownership.Beat, Reason) {
	beat, reason := o.open(payload)
	o.counts[reason].Add(1)
	return beat, reason
}

func (o *Opener) open(payload []byte) (*ownership.Beat, Reason) {
	r, reason := cut(payload)
	if reason != ReasonAccepted {
		return nil, reason
	}
	if reason := o.judgeHeader(r); reason != ReasonAccepted {
		return nil, reason
	}
	s, plain, reason := o.authenticate(r)
	if reason != ReasonAccepted {
		return nil, reason
	}
	if reason := s.judge(r); reason != ReasonAccepted {
		return nil, reason
	}
	o.clock++
	s.heard = o.clock
	if r.parts() > 1 {
		var abandoned bool
		o.whole, abandoned, reason = s.join(r, plain, o.whole[:0])
		if abandoned {
			o.abandoned.Add(1)
		}
		plain = o.whole
		if reason != ReasonAccepted {
			return nil, reason
		}
	} else if s.drop() {
		o.abandoned.Add(1)
	}
	s.seq = r.seq()
	beat, err := readBeat(plain, ownership.Ref{Name: s.name, Incarnation: s.incarnation}, r.seq(), &o.memory)
	if err != nil {
		return nil, ReasonMalformed
	}
	return beat, ReasonAccepted
}

// judgeHeader drops what need not be authenticated to be dropped: nothing
// that depends on what was received before.
func (o *Opener) judgeHeader(r raw) Reason {
	switch {
	case r.version() != Version:
		return ReasonUnknownVersion
	case r.cluster() != o.clusterID:
		return ReasonOtherCluster
	case r.parts() == 0 || r.parts() > MaxParts || r.part() >= r.parts():
		return ReasonBadHeader
	case string(r.name) == o.self.Name && r.incarnation() == o.self.Incarnation:
		return ReasonReflected
	case r.seq() == 0:
		return ReasonBadHeader
	}
	return ReasonAccepted
}

// authenticate opens the seal and returns the sender, made or renewed if
// the payload is the first of a newer session. The plain text is good until
// the next call.
func (o *Opener) authenticate(r raw) (*sender, []byte, Reason) {
	o.nonce = nonce(r.seq(), r.part())
	id := session{key: r.key(), incarnation: r.incarnation(), salt: r.salt()}
	s := o.senders[string(r.name)]
	if s != nil && s.aead != nil && s.session == id {
		plain, err := s.aead.Open(o.plain[:0], o.nonce[:], r.body, r.clear())
		if err != nil {
			return nil, nil, ReasonForged
		}
		return s, plain, ReasonAccepted
	}
	reason := ReasonUnknownKey
	for _, root := range o.keys {
		if root.id != id.key {
			continue
		}
		reason = ReasonForged
		aead, err := root.aead(o.cluster, string(r.name), id)
		if err != nil {
			continue
		}
		plain, err := aead.Open(o.plain[:0], o.nonce[:], r.body, r.clear())
		if err != nil {
			continue
		}
		s, reason := o.admit(s, r, id, aead)
		return s, plain, reason
	}
	return nil, nil, reason
}
