package flowhash

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Seed derives a pool's seed from the cluster's key, for a pool whose
// configuration gives none: the first four bytes, big-endian, of HKDF-SHA-256
// (RFC 5869) without salt, with info "rota flowhash seed 1 " and the pool's name.
func Seed(secret []byte, pool string) uint32 {
	extract := hmac.New(sha256.New, make([]byte, sha256.Size))
	extract.Write(secret)
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write([]byte(seedInfo + pool))
	expand.Write([]byte{1})
	return binary.BigEndian.Uint32(expand.Sum(nil))
}

const seedInfo = "rota flowhash seed 1 "
