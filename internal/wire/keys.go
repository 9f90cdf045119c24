package wire

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// KeyBytes is the length of a cluster key.
const KeyBytes = 32

// keyID names a cluster key in the clear: it says which of several keys to
// try, and tells a wrong key from a forged beat. It gives nothing away about a
// key of 256 random bits.
type keyID [4]byte

// rootKey is what a cluster key becomes: the pseudorandom key of HKDF
// (RFC 5869 section 2.2), from which every session's key is expanded.
type rootKey struct {
	id  keyID
	prk []byte
}

func newRootKey(key []byte) (rootKey, error) {
	if len(key) != KeyBytes {
		return rootKey{}, fmt.Errorf("a cluster key has %d bytes, this one %d: make one with `rota key generate`", KeyBytes, len(key))
	}
	prk, err := hkdf.Extract(sha256.New, key, []byte("rota beat v1"))
	if err != nil {
		return rootKey{}, fmt.Errorf("derive the beats' root key: %w", err)
	}
	id, err := hkdf.Expand(sha256.New, prk, "key id", len(keyID{}))
	if err != nil {
		return rootKey{}, fmt.Errorf("derive the key's id: %w", err)
	}
	return rootKey{id: keyID(id), prk: prk}, nil
}

// KeyID is the name of a cluster key that logs and status give it. It gives
// nothing away about the key.
func KeyID(key []byte) (string, error) {
	root, err := newRootKey(key)
	return root.id.String(), err
}

func (id keyID) String() string { return hex.EncodeToString(id[:]) }

// session is what one AES key belongs to: one Sealer of one incarnation. The
// sender's name and the cluster's enter the key as well.
type session struct {
	key         keyID
	incarnation uint64
	salt        [saltBytes]byte
}

// aead derives the session's cipher. Every field is of fixed length or
// preceded by its length, so that no two sessions share an input.
func (k rootKey) aead(cluster, name string, s session) (cipher.AEAD, error) {
	info := make([]byte, 0, 64+len(cluster)+len(name))
	info = append(info, "session\x00"...)
	info = binary.BigEndian.AppendUint32(info, uint32(len(cluster)))
	info = append(info, cluster...)
	info = binary.BigEndian.AppendUint32(info, uint32(len(name)))
	info = append(info, name...)
	info = binary.BigEndian.AppendUint64(info, s.incarnation)
	info = append(info, s.salt[:]...)
	key, err := hkdf.Expand(sha256.New, k.prk, string(info), 32)
	if err != nil {
		return nil, fmt.Errorf("derive a session key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("set up AES-256: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("set up GCM: %w", err)
	}
	return aead, nil
}

// nonce is unique under a session's key, because a Sealer's sequence numbers
// rise (NIST SP 800-38D section 8.2.1, the deterministic construction).
func nonce(seq uint64, part byte) (n [12]byte) {
	binary.BigEndian.PutUint64(n[:8], seq)
	n[8] = part
	return n
}
