package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// KeySteps is in how many steps a key is rotated. Every node must have taken
// one before any takes the next: so nobody is ever sent what it cannot open.
const KeySteps = 3

// Step is the step of a rotation that led to these keys: 1 accepts the new
// key, 2 seals with it, 3 (and also: before any rotation) knows one alone.
func (k Keys) Step() int {
	switch {
	case k.New != nil:
		return 1
	case k.Old != nil:
		return 2
	}
	return KeySteps
}

// next are the keys after the next step of a rotation.
func (k Keys) next(random io.Reader) (Keys, error) {
	switch k.Step() {
	case 1:
		return Keys{Seal: k.New, Old: k.Seal, Hash: k.Hash}, nil
	case 2:
		return Keys{Seal: k.Seal, Hash: k.Hash}, nil
	}
	fresh, err := drawKey(random)
	return Keys{Seal: k.Seal, New: fresh, Hash: k.Hash}, err
}

// text is the key file.
func (k Keys) text() string {
	var b strings.Builder
	line := func(word string, key []byte) {
		if key != nil {
			b.WriteString(word + base64.StdEncoding.EncodeToString(key) + "\n")
		}
	}
	line("", k.Seal)
	line("new ", k.New)
	line("old ", k.Old)
	if string(k.Hash) != string(k.Seal) || k.Step() != KeySteps {
		line("hash ", k.Hash)
	}
	return b.String()
}

// RotateKey takes the file to the next step of a rotation, and returns what
// it held and what it holds. Whoever reads it meanwhile finds the one or the
// other. It keeps its owner, and is for the owner alone.
func RotateKey(path string, random io.Reader) (before, after Keys, err error) {
	if before, err = LoadKeys(path); err != nil {
		return before, after, err
	}
	if after, err = before.next(random); err != nil {
		return before, after, err
	}
	file, err := filepath.EvalSymlinks(path) // a link shall stay one
	if err == nil {
		err = replaceKeyFile(file, after.text())
	}
	if err != nil {
		return before, after, fmt.Errorf("key file %s is as it was: %w", path, err)
	}
	return before, after, nil
}

// replaceKeyFile replaces the file as a whole. The new one is made beside it
// under a name that only one can have: two rotations at once are one.
func replaceKeyFile(path, text string) (err error) {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	beside := path + ".new"
	f, err := os.OpenFile(beside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s exists: another rotation is under way, or was cut short; if so, remove it", beside)
	}
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(beside))
		}
	}()
	_, err = f.WriteString(text)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && err == nil && os.Geteuid() == 0 {
		err = f.Chown(int(owner.Uid), int(owner.Gid))
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(beside, path)
}
