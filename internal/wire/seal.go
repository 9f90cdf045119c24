package wire

import (
	"crypto/cipher"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/rota-cluster/rota/internal/ownership"
)

// ErrTooLarge: the beat does not fit MaxParts parts.
var ErrTooLarge = errors.New("beat too large: use fewer pools or fewer buckets")

// ErrSequence: the beat's sequence number is not higher than the last one
// sealed, which would use a nonce twice.
var ErrSequence = errors.New("sequence number does not rise")

// SealerConfig is what a Sealer needs.
type SealerConfig struct {
	Key      []byte        // the cluster key, KeyBytes long
	Cluster  string        // the cluster's name
	Self     ownership.Ref // the only sender the Sealer speaks for
	PartSize int           // bytes, MinPart … MaxPart; see the function PartSize. 0: MaxPart
	Random   io.Reader     // cryptographically secure; read once
}

// Sealer seals the beats of one node's incarnation. It is not safe for
// concurrent use.
type Sealer struct {
	cluster  string
	header   header // of the session
	root     rootKey
	aead     cipher.AEAD
	partSize int
	last     uint64   // the highest sequence number used
	body     []byte   // scratch
	nonce    [12]byte // scratch
	payloads [][]byte // of the newest beat,
	sealed   []byte   // and where they are
	view     sealedView
}

// NewSealer makes a Sealer; every process start needs its own incarnation.
func NewSealer(cfg SealerConfig) (*Sealer, error) {
	if err := checkName(cfg.Self.Name); err != nil {
		return nil, fmt.Errorf("sealer: node %q: %w", cfg.Self.Name, err)
	}
	s := &Sealer{
		cluster: cfg.Cluster,
		header:  header{cluster: clusterID(cfg.Cluster), from: cfg.Self},
	}
	if _, err := io.ReadFull(cfg.Random, s.header.salt[:]); err != nil {
		return nil, fmt.Errorf("sealer: draw a salt: %w", err)
	}
	if err := s.SetKey(cfg.Key); err != nil {
		return nil, err
	}
	if cfg.PartSize == 0 {
		cfg.PartSize = MaxPart
	}
	return s, s.SetPartSize(cfg.PartSize)
}

// SetKey seals with another cluster key from now on. Peers must have been
// given it before (Opener.SetKeys).
func (s *Sealer) SetKey(key []byte) error {
	root, err := newRootKey(key)
	if err != nil {
		return fmt.Errorf("sealer: %w", err)
	}
	return s.begin(root, s.header.from)
}

// SetIncarnation speaks as a later incarnation of the same node from now on;
// sequence numbers begin again.
func (s *Sealer) SetIncarnation(incarnation uint64) error {
	if incarnation <= s.header.from.Incarnation {
		return fmt.Errorf("sealer: incarnation %d does not come after %d", incarnation, s.header.from.Incarnation)
	}
	if err := s.begin(s.root, ownership.Ref{Name: s.header.from.Name, Incarnation: incarnation}); err != nil {
		return err
	}
	s.last = 0
	return nil
}

// begin derives the key of a session.
func (s *Sealer) begin(root rootKey, from ownership.Ref) error {
	h := s.header
	h.key, h.from = root.id, from
	aead, err := root.aead(s.cluster, from.Name, session{key: h.key, incarnation: from.Incarnation, salt: h.salt})
	if err != nil {
		return fmt.Errorf("sealer: %w", err)
	}
	s.header, s.root, s.aead = h, root, aead
	return nil
}

// SetPartSize follows a change of the interface's MTU; see the function PartSize.
func (s *Sealer) SetPartSize(size int) error {
	if size < MinPart || size > MaxPart {
		return fmt.Errorf("sealer: part size %d, not %d to %d", size, MinPart, MaxPart)
	}
	s.partSize = size
	return nil
}

// Seal makes the UDP payloads of a beat: 1 … MaxParts of them, in order. They
// are good until the next call. The error tells what in the beat is out of bounds, or
// is ErrTooLarge or ErrSequence.
func (s *Sealer) Seal(beat *ownership.Beat) ([][]byte, error) {
	if beat.From != s.header.from {
		return nil, fmt.Errorf("seal: a beat of %q, incarnation %d, is not this node's", beat.From.Name, beat.From.Incarnation)
	}
	if beat.Seq <= s.last {
		return nil, fmt.Errorf("seal: beat %d after %d: %w", beat.Seq, s.last, ErrSequence)
	}
	if err := s.view.check(beat); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	s.body = appendBeatOf(s.body[:0], beat, s.view.field)
	room := s.partSize - s.header.size() - tagBytes
	if len(s.body) > room*MaxParts { // neither text for people, news that can wait nor orders, which are given again, must stop the beat
		short := *beat
		short.Health, short.Pins.Orders = nil, nil
		if s.body = appendBeatOf(s.body[:0], &short, s.view.field); len(s.body) > room*MaxParts {
			short.Orders, short.Answers = nil, nil
			s.body = appendBeatOf(s.body[:0], &short, s.view.field)
		}
	}
	parts := max(1, (len(s.body)+room-1)/room)
	if parts > MaxParts {
		return nil, fmt.Errorf("seal: %d bytes in %d parts: %w", len(s.body), parts, ErrTooLarge)
	}
	s.last = beat.Seq
	return s.sealParts(beat.Seq, parts, room), nil
}

func (s *Sealer) sealParts(seq uint64, parts, room int) [][]byte {
	h := s.header
	h.seq, h.parts = seq, byte(parts)
	out := s.payloads[:0]
	buf := slices.Grow(s.sealed[:0], len(s.body)+parts*(h.size()+tagBytes)) // no payload is to be moved
	body := s.body
	for part := range parts {
		h.part = byte(part)
		chunk := body[:min(room, len(body))]
		body = body[len(chunk):]
		start := len(buf)
		buf = h.appendTo(buf)
		s.nonce = nonce(seq, h.part)
		buf = s.aead.Seal(buf, s.nonce[:], chunk, buf[start:])
		out = append(out, buf[start:len(buf):len(buf)])
	}
	s.payloads, s.sealed = out, buf
	return out
}
