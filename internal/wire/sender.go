package wire

import (
	"crypto/cipher"
	"math/bits"
)

// MaxSenders is how many senders an Opener remembers. It is more than a
// cluster has nodes, because names may change while it runs.
const MaxSenders = 128

// forgetAfter is for how many payloads that were news a sender must have been
// unheard before it may be forgotten for a new one: a few seconds in the
// largest cluster, minutes in a small one.
const forgetAfter = 8192

// sender is what an Opener remembers of one name: the newest incarnation, its
// newest whole beat, and the parts of a newer one.
type sender struct {
	session
	name  string
	aead  cipher.AEAD
	seq   uint64 // the newest beat received whole
	heard uint64 // Opener.clock when last heard; 0: by an earlier start only

	// The beat being put together: have has a bit for each part in plain.
	joining uint64 // its sequence number, above seq; meaningless while have is 0
	parts   byte
	have    uint64
	plain   [][]byte
}

// admit takes notice of an authentic session that is not the sender's
// current one; s is nil if the name is new.
func (o *Opener) admit(s *sender, r raw, id session, aead cipher.AEAD) (*sender, Reason) {
	if s == nil {
		name := string(r.name)
		if checkName(name) != nil {
			return nil, ReasonBadHeader
		}
		if !o.makeRoom() {
			o.clock++
			return nil, ReasonTooManySenders
		}
		s = &sender{name: name, session: id, aead: aead}
		o.senders[name] = s
		return s, ReasonAccepted
	}
	if id.incarnation < s.incarnation {
		return nil, ReasonStale
	}
	if id.incarnation > s.incarnation {
		s.seq = 0
	} else if id != s.session && s.past(r.seq()) {
		return nil, ReasonReplayed // from before a change of keys: the present session stays
	}
	if id != s.session && s.drop() { // parts of two sessions make no beat
		o.abandoned.Add(1)
	}
	s.session, s.aead = id, aead
	return s, ReasonAccepted
}

// makeRoom forgets the sender that has been unheard longest, if that is long,
// when there is no room for another.
func (o *Opener) makeRoom() bool {
	if len(o.senders) < MaxSenders {
		return true
	}
	var oldest *sender
	for _, s := range o.senders {
		if oldest == nil || s.heard < oldest.heard {
			oldest = s
		}
	}
	if o.clock-oldest.heard < forgetAfter {
		return false
	}
	delete(o.senders, oldest.name)
	return true
}

// past tells whether a beat of this number is no news whatever its parts.
func (s *sender) past(seq uint64) bool {
	return seq <= s.seq || s.have != 0 && seq < s.joining
}

// judge tells whether an authentic part of the current session is news.
func (s *sender) judge(r raw) Reason {
	seq := r.seq()
	switch {
	case s.past(seq):
		return ReasonReplayed
	case s.have == 0 || seq > s.joining:
		return ReasonAccepted
	case r.parts() != s.parts:
		return ReasonPartMismatch
	case s.have&(1<<r.part()) != 0:
		return ReasonReplayed
	}
	return ReasonAccepted
}

// drop gives up the beat being put together and tells whether there was one.
func (s *sender) drop() bool {
	had := s.have != 0
	s.have = 0
	return had
}

// join adds a part that judge has accepted and, once all are there, appends
// the whole text to buf.
func (s *sender) join(r raw, plain, buf []byte) (whole []byte, abandoned bool, reason Reason) {
	if s.have == 0 || r.seq() != s.joining {
		abandoned = s.drop()
		s.joining, s.parts = r.seq(), r.parts()
		for len(s.plain) < int(s.parts) {
			s.plain = append(s.plain, nil)
		}
	}
	part := r.part()
	s.plain[part] = append(s.plain[part][:0], plain...)
	s.have |= 1 << part
	if bits.OnesCount64(s.have) < int(s.parts) {
		return buf, abandoned, ReasonIncomplete
	}
	s.have = 0
	for _, p := range s.plain[:s.parts] {
		buf = append(buf, p...)
	}
	return buf, abandoned, ReasonAccepted
}
