// Package wire turns beats into sealed UDP payloads and back.
//
// It is not a transport and not a judge: it neither sends nor decides who owns
// a bucket. It uses no clock and takes its randomness as an argument.
//
// The one invariant: a beat that Open returns was sealed, whole and unchanged,
// by someone who holds the cluster key, under the name, incarnation and
// sequence number it carries, and no Opener returns it twice.
//
// # What is guaranteed
//
//   - Secrecy and integrity: AES-256-GCM over every part, the whole header
//     included. The key belongs to one sender, one incarnation and one Sealer
//     (HKDF-SHA-256, RFC 5869, from the cluster key; see keys.go), the nonce to
//     one part of one beat. A Sealer refuses a sequence number that does not
//     rise and draws a random salt of its own, so that no nonce is used twice
//     even if an incarnation is.
//   - Order: of one sender and incarnation, sequence numbers rise; once a newer
//     incarnation has been heard, older ones are refused. Both are judged only
//     after authentication: nobody without the key can silence a sender.
//   - Bounds: at most MaxSenders senders are remembered, each with at most one
//     half-received beat of MaxParts parts.
//
// # What is not
//
//   - Freshness. A beat that was held back and is the newest of its sender is
//     opened however old it is.
//   - More memory over a restart than it is given (OpenerConfig.Heard). Of a
//     sender that is not in it, recorded beats are opened until the present
//     ones are heard; of one that is, those that came after it was noted. The
//     same holds for a sender forgotten for MaxSenders others. The ownership
//     protocol therefore counts only beats that echo a recent one of its own.
//   - Protection from those who hold the key. They may speak for every node.
package wire
