package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/rota-cluster/rota/internal/ownership"
)

// Version is the protocol's. It changes when a node of the version before
// could no longer make sense of a beat; new fields alone do not change it
// (see fields.go).
const Version = 1

// The header of every part, in clear and authenticated, integers big-endian.
// Its layout up to and including the name holds for every version, so that
// a node can tell a person who speaks a version that it does not know.
//
//	 0  magic        "rota"
//	 4  version      1 byte
//	 5  part         1 byte, from 0
//	 6  parts        1 byte, 1 … MaxParts
//	 7  name length  1 byte, 1 … MaxName
//	 8  cluster id   8 bytes, see clusterID
//	16  key id       4 bytes, see newRootKey
//	20  salt         8 bytes, random per Sealer
//	28  incarnation  8 bytes
//	36  sequence     8 bytes
//	44  name
//	    sealed body, ending in the 16-byte tag of AES-GCM
const (
	magic      = "rota"
	fixedBytes = 44
	tagBytes   = 16
	saltBytes  = 8
)

// Sizes of payloads, in bytes.
const (
	// MaxPart is the longest UDP payload that fits an MTU of 1500 under IPv6.
	MaxPart = 1500 - ipUDPBytes
	// MinPart is the shortest part size that a Sealer takes.
	MinPart = 256
	// MaxParts is into how many parts a beat may be sealed.
	MaxParts = 64
	// MaxName is the longest name of a node or a pool, in bytes of UTF-8.
	MaxName = 64

	ipUDPBytes = 40 + 8 // RFC 8200 section 3, RFC 768
)

// PartSize is the part size for an interface with the given MTU: what fits
// under IPv6 and UDP, at most MaxPart, because the peers' MTU may be less.
func PartSize(mtu int) (int, error) {
	if mtu < MinPart+ipUDPBytes {
		return 0, fmt.Errorf("an MTU of %d is too small for beats: raise it to %d or more", mtu, MinPart+ipUDPBytes)
	}
	return min(mtu-ipUDPBytes, MaxPart), nil
}

// header is the authenticated clear text of a part.
type header struct {
	part, parts byte
	cluster     uint64
	key         keyID
	salt        [saltBytes]byte
	from        ownership.Ref
	seq         uint64
}

func (h *header) size() int { return fixedBytes + len(h.from.Name) }

// appendTo writes the header after b.
func (h *header) appendTo(b []byte) []byte {
	b = append(b, magic...)
	b = append(b, Version, h.part, h.parts, byte(len(h.from.Name)))
	b = binary.BigEndian.AppendUint64(b, h.cluster)
	b = append(b, h.key[:]...)
	b = append(b, h.salt[:]...)
	b = binary.BigEndian.AppendUint64(b, h.from.Incarnation)
	b = binary.BigEndian.AppendUint64(b, h.seq)
	return append(b, h.from.Name...)
}

// raw is a payload cut at its name; nothing in it is authenticated.
type raw struct {
	fixed, name, body []byte
}

func (r raw) version() byte       { return r.fixed[4] }
func (r raw) part() byte          { return r.fixed[5] }
func (r raw) parts() byte         { return r.fixed[6] }
func (r raw) cluster() uint64     { return binary.BigEndian.Uint64(r.fixed[8:]) }
func (r raw) key() keyID          { return keyID(r.fixed[16:20]) }
func (r raw) incarnation() uint64 { return binary.BigEndian.Uint64(r.fixed[28:]) }
func (r raw) seq() uint64         { return binary.BigEndian.Uint64(r.fixed[36:]) }

func (r raw) salt() [saltBytes]byte { return [saltBytes]byte(r.fixed[20:28]) }

// clear is the whole header, which the seal covers.
func (r raw) clear() []byte { return r.fixed[:fixedBytes+len(r.name)] }

// cut checks a payload's lengths and magic and takes it apart.
func cut(payload []byte) (raw, Reason) {
	if len(payload) > MaxPart {
		return raw{}, ReasonOversized
	}
	if len(payload) < fixedBytes+1+tagBytes {
		return raw{}, ReasonTooShort
	}
	if string(payload[:len(magic)]) != magic {
		return raw{}, ReasonBadMagic
	}
	n := int(payload[7])
	if n == 0 || n > MaxName {
		return raw{}, ReasonBadHeader
	}
	if len(payload) < fixedBytes+n+tagBytes {
		return raw{}, ReasonTooShort
	}
	return raw{
		fixed: payload,
		name:  payload[fixedBytes : fixedBytes+n],
		body:  payload[fixedBytes+n:],
	}, ReasonAccepted
}

// Claimed tells whom a payload claims to come from, in whatever version. It
// is not authenticated: good for a line in a log and for nothing else.
func Claimed(payload []byte) (ownership.Ref, bool) {
	r, reason := cut(payload)
	if reason != ReasonAccepted || checkName(string(r.name)) != nil {
		return ownership.Ref{}, false
	}
	return ownership.Ref{Name: string(r.name), Incarnation: r.incarnation()}, true
}

// clusterID tells clusters apart before any key is tried. It is no secret.
func clusterID(cluster string) uint64 {
	sum := sha256.Sum256([]byte("rota cluster id\x00" + cluster))
	return binary.BigEndian.Uint64(sum[:])
}

var (
	errNameLength = fmt.Errorf("a name has 1 to %d bytes", MaxName)
	errNameText   = errors.New("a name has printable characters only, and no space")
)

// checkName holds for nodes and pools: what is shown to people must not be
// able to break a line.
func checkName(name string) error {
	if len(name) == 0 || len(name) > MaxName {
		return errNameLength
	}
	for i := 0; i < len(name); i++ {
		if c := name[i]; c <= ' ' || c >= 0x7f {
			return checkWideName(name)
		}
	}
	return nil
}

func checkWideName(name string) error {
	if !utf8.ValidString(name) {
		return errNameText
	}
	for _, r := range name {
		if r == ' ' || !unicode.IsPrint(r) {
			return errNameText
		}
	}
	return nil
}
