package config

import (
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

// GenerateKey draws a new cluster key: one line of base64 without its newline.
func GenerateKey(random io.Reader) (string, error) {
	key := make([]byte, KeySize)
	if _, err := io.ReadFull(random, key); err != nil {
		return "", fmt.Errorf("draw a key: %w", err)
	}
	return base64.StdEncoding.EncodeToString(key), nil
}

// LoadKey reads the cluster's key, which nobody but its owner may read. The
// errors say what to do and never hold a part of the file.
func LoadKey(path string) ([]byte, error) {
	// O_NONBLOCK: a FIFO must not stop the daemon.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("key file %s does not exist; copy it from another node, or for a new cluster: (umask 077; rota key generate > %s)", path, path)
	}
	if err != nil {
		return nil, fmt.Errorf("key file %s cannot be read: %s", path, cause(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("key file %s cannot be read: %s", path, cause(err))
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("key file %s is not a regular file", path)
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("key file %s can be used by others (mode %04o); run: chmod 600 %s", path, perm, path)
	}
	const room = 1024
	text, err := io.ReadAll(io.LimitReader(f, room))
	if err != nil {
		return nil, fmt.Errorf("key file %s cannot be read: %s", path, cause(err))
	}
	key, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(text) == room || strings.ContainsAny(strings.TrimSpace(string(text)), "\r\n") {
		return nil, fmt.Errorf("key file %s is not one line of base64 as rota key generate prints it", path)
	}
	if len(key) != KeySize {
		return nil, fmt.Errorf("key file %s holds %d bytes, not %d; make one with rota key generate", path, len(key), KeySize)
	}
	return key, nil
}
