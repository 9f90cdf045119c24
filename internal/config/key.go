package config

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// KeySize is the length of a cluster's key in bytes.
const KeySize = 32

// Keys are what a key file holds. Each is KeySize long or, where that is said,
// nil. The file has one to three lines, with the words that stand here:
//
//	KEY         seals this node's beats, and is accepted
//	new KEY     is accepted too: the next step of a rotation will seal with it
//	old KEY     is accepted still: the last step of a rotation will forget it
//	hash SECRET what seeds are derived from; without it KEY, if that is the only one
//
// Empty lines and those that begin with # say nothing.
type Keys struct {
	Seal []byte
	New  []byte // nil but in the first step of a rotation
	Old  []byte // nil but in the second
	Hash []byte // never changes while the cluster runs: all nodes hash alike
}

// GenerateKey draws a new cluster key: one line of base64 without its newline.
func GenerateKey(random io.Reader) (string, error) {
	key, err := drawKey(random)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(key), nil
}

func drawKey(random io.Reader) ([]byte, error) {
	key := make([]byte, KeySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return nil, fmt.Errorf("draw a key: %w", err)
	}
	return key, nil
}

// LoadKeys reads a key file, which nobody but its owner may read. The errors
// say what to do and never hold a part of the file.
func LoadKeys(path string) (Keys, error) {
	// O_NONBLOCK: a FIFO must not stop the daemon.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return Keys{}, fmt.Errorf("key file %s does not exist; copy it from another node, or for a new cluster: (umask 077; rota key generate > %s)", path, path)
	}
	if err != nil {
		return Keys{}, fmt.Errorf("key file %s cannot be read: %s", path, cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Keys{}, fmt.Errorf("key file %s cannot be read: %s", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return Keys{}, fmt.Errorf("key file %s is not a regular file", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return Keys{}, fmt.Errorf("key file %s can be used by others (mode %04o); run: chmod 600 %s", path, perm, path)
	}
	const room = 4096
	text, err := io.ReadAll(io.LimitReader(f, room))
	if err != nil {
		return Keys{}, fmt.Errorf("key file %s cannot be read: %s", path, cause(err))
	}
	if len(text) == room {
		return Keys{}, fmt.Errorf("key file %s is too long to hold keys; make one with rota key generate", path)
	}
	k, err := parseKeys(string(text))
	if err != nil {
		return Keys{}, fmt.Errorf("key file %s %w", path, err)
	}
	return k, nil
}

// parseKeys reads the text of a key file. An error goes on where the file's
// name was.
func parseKeys(text string) (Keys, error) {
	var k Keys
	number := 0
	for line := range strings.Lines(text) {
		number++
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		if err := k.take(words); err != nil {
			return Keys{}, fmt.Errorf("line %d %w", number, err)
		}
	}
	return k.complete()
}

// take takes in one line.
func (k *Keys) take(words []string) error {
	name, what := "key", &k.Seal
	if len(words) > 1 {
		switch words[0] {
		case "new":
			what = &k.New
		case "old":
			what = &k.Old
		case "hash":
			what = &k.Hash
		default:
			return errors.New("is neither a key nor one after new, old or hash")
		}
		name = words[0]
	}
	if len(words) > 2 {
		return errors.New("has more words than one key")
	}
	if *what != nil {
		if name == "key" {
			return errors.New("is a second key; one key seals, write new or old before the other")
		}
		return fmt.Errorf("is a second %s", name)
	}
	key, err := base64.StdEncoding.Strict().DecodeString(words[len(words)-1])
	if err != nil {
		return errors.New("is not base64 as rota key generate prints it")
	}
	if len(key) != KeySize {
		return fmt.Errorf("holds %d bytes, not %d; make one with rota key generate", len(key), KeySize)
	}
	*what = key
	return nil
}

// complete judges the lines together.
func (k Keys) complete() (Keys, error) {
	switch {
	case k.Seal == nil && k.New == nil && k.Old == nil && k.Hash == nil:
		return Keys{}, errors.New("is empty; make one with rota key generate")
	case k.Seal == nil:
		return Keys{}, errors.New("has no line with a key alone, which seals; copy it from another node")
	case k.New != nil && k.Old != nil:
		return Keys{}, errors.New("has a new and an old key: one rotation at a time; copy it from another node")
	case bytes.Equal(k.Seal, k.New) || bytes.Equal(k.Seal, k.Old):
		return Keys{}, errors.New("has the same key twice; remove the line with new or old")
	case k.Hash == nil && (k.New != nil || k.Old != nil):
		return Keys{}, errors.New("has two keys and no line hash, so that nobody knows which one the seeds come from; copy it from another node")
	case k.Hash == nil:
		k.Hash = k.Seal
	}
	return k, nil
}

// Accepted are the keys to open beats with; the first is the one to seal with.
func (k Keys) Accepted() [][]byte {
	all := [][]byte{k.Seal}
	for _, key := range [][]byte{k.New, k.Old} {
		if key != nil {
			all = append(all, key)
		}
	}
	return all
}
