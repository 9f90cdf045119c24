package lab

import (
	"errors"
	"fmt"
	"os/exec"
)

// Load keeps so many processes busy beside the cluster, on all processors
// alike, until stop is called or the lab is closed.
func (l *Lab) Load(processes int) (stop func() error, err error) {
	var hogs []*exec.Cmd
	stop = func() error {
		var failed []error
		for _, hog := range hogs {
			failed = append(failed, hog.Process.Kill())
			_ = hog.Wait() // killed, as it shall be
		}
		hogs = nil
		return errors.Join(failed...)
	}
	for range processes {
		hog := exec.Command("sh", "-c", "while :; do :; done")
		if err := l.client.Host().Start(hog); err != nil {
			return nil, errors.Join(fmt.Errorf("start a busy process: %w", err), stop())
		}
		hogs = append(hogs, hog)
	}
	return stop, nil
}
