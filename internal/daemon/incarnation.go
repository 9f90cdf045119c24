package daemon

import (
	"errors"
	"fmt"
	"hash/fnv"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const incarnationFile = "incarnation"

// nextIncarnation is higher than that of every earlier start of this node: the
// wall clock in microseconds, or one more than the last if the clock went back.
// Without a writable state directory only the clock is left, which is warned of.
func nextIncarnation(stateDir string, now time.Time, log *slog.Logger) uint64 {
	next := uint64(max(now.UnixMicro(), 1))
	path := filepath.Join(stateDir, incarnationFile)
	last, err := readIncarnation(path)
	if err != nil {
		log.Warn("earlier incarnation unknown, trusting the wall clock", "error", err)
	}
	next = max(next, last+1)
	if err := writeIncarnation(path, next); err != nil {
		log.Warn("runs without memory: a start after the wall clock was set back would not be taken in", "error", err)
	}
	return next
}

func readIncarnation(path string) (uint64, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s: not a number; remove the file", path)
	}
	return n, nil
}

func writeIncarnation(path string, n uint64) error {
	return replaceFile(path, strconv.FormatUint(n, 10)+"\n")
}

// replaceFile replaces a file of the state directory as a whole: a crash leaves
// the old or the new.
func replaceFile(path, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	tmp := path + ".new"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}

// hostID tells two hosts that use one name apart: it stays over restarts.
func hostID(mac net.HardwareAddr) uint64 {
	h := fnv.New64a()
	h.Write(mac)
	return h.Sum64()
}
