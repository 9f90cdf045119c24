package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// mostRead is more than any bundle of certificates has.
const mostRead = 16 << 20

var errNotRegular = errors.New("not a regular file")

// ReadFile reads a configuration or a file that one names. It never waits for somebody to write, as
// the reading of a FIFO does, and does not read without end: what is not a regular file is not opened.
func ReadFile(path string) ([]byte, error) {
	refuse := func(err error) ([]byte, error) { return nil, &fs.PathError{Op: "read", Path: path, Err: err} }
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return refuse(errNotRegular)
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // it is another since
		return refuse(errNotRegular)
	}
	text, err := io.ReadAll(io.LimitReader(f, mostRead+1))
	if err == nil && len(text) > mostRead {
		return refuse(fmt.Errorf("longer than %d MiB", mostRead>>20))
	}
	return text, err
}
