package check

import (
	"errors"
	"io/fs"
	"os"
)

// file passes while something is at path; with absent, while nothing is.
type file struct {
	path   string
	absent bool
}

func (f file) look() Outcome {
	_, err := os.Lstat(f.path)
	switch there := err == nil; {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return failure("cannot look at "+f.path, err)
	case there == f.absent:
		return failed("%s is %s", f.path, presence(there))
	default:
		return passed(f.path + " is " + presence(there))
	}
}

func presence(there bool) string {
	if there {
		return "there"
	}
	return "not there"
}
