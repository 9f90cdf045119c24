package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/stress"
)

// ailments that Ail knows: its service is killed; its disk fills up, or can be
// written no more; its kernel says that every task waits for memory, or a
// program makes that true; the kernel has I/O errors in its log, or its link
// comes and goes, which the daemon remembers for ten minutes; it is to shut down.
var ailments = []string{"service", "disk", "readonly", "memory", "stress", "records", "link", "shutdown"}

var errNoBody = errors.New("the nodes of this lab have no bodies that could fall ill")

// Ail makes the node ill.
func (n *Node) Ail(what string) error {
	if n.body == nil {
		return errNoBody
	}
	switch what {
	case "service":
		return n.BreakService()
	case "disk":
		return n.body.fill()
	case "readonly":
		return n.body.remount(unix.MS_RDONLY)
	case "memory":
		return n.body.press(80)
	case "records":
		failed := make([]error, 3)
		for i := range failed {
			failed[i] = n.body.record("I/O error, dev sda, sector 2048 op 0x0:(READ) flags 0x0 phys_seg 1 prio class 0")
		}
		return errors.Join(failed...)
	case "stress":
		return n.stressMemory()
	case "link":
		return n.flap()
	case "shutdown":
		n.body.bus.Announce(true)
		return nil
	}
	return fmt.Errorf("no ailment %q; there are %s", what, strings.Join(ailments, ", "))
}

// Cure ends everything that Ail did, but for what the daemon remembers.
func (n *Node) Cure(ctx context.Context) error {
	if n.body == nil {
		return errNoBody
	}
	n.body.bus.Announce(false)
	failed := []error{n.body.remount(0), n.body.relax(), n.body.press(0), n.lab.segment.SetCarrier(n.host, true)}
	if err := os.Remove(filepath.Join(n.body.disk(), "full")); !errors.Is(err, os.ErrNotExist) {
		failed = append(failed, err)
	}
	if n.service == nil {
		failed = append(failed, n.MendService(ctx))
	}
	return errors.Join(failed...)
}

// A link that flaps: the carrier goes so often, for so long, with so much between. It comes
// back before anybody misses the node, so what the node does is for the sign alone.
const (
	flaps   = 3
	flapFor = 20 * time.Millisecond
	flapGap = 200 * time.Millisecond
)

func (n *Node) flap() error {
	for range flaps {
		if err := n.lab.segment.SetCarrier(n.host, false); err != nil {
			return err
		}
		<-time.After(flapFor)
		if err := n.lab.segment.SetCarrier(n.host, true); err != nil {
			return err
		}
		<-time.After(flapGap)
	}
	return nil
}

// Inhibited tells whether somebody holds back the shutdown of the node's host.
func (n *Node) Inhibited() bool { return n.body != nil && n.body.bus.Held() }

// stressed is a node whose memory is short.
type stressed struct {
	group *stress.Group
	hog   *exec.Cmd
	relay *probe.Running[struct{}]
}

// relayEvery is how often the node's kernel says what the group's does.
const relayEvery = 200 * time.Millisecond

// stressMemory makes memory short in a group of the node's own, whose pressure is told as the node's.
func (n *Node) stressMemory() error {
	if n.body.stress != nil {
		return nil
	}
	group, err := stress.NewGroup("rota-lab-" + n.lab.Name() + "-" + n.Name())
	if err != nil {
		return err
	}
	s := &stressed{group: group, hog: group.Command()}
	if err := n.host.Start(s.hog); err != nil {
		return errors.Join(fmt.Errorf("stress the node's memory: %w", err), group.Close())
	}
	s.relay = probe.Start(context.Background(), func(ctx context.Context) (struct{}, error) {
		for tick := time.NewTicker(relayEvery); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return struct{}{}, nil
			case <-tick.C:
			}
			text, err := os.ReadFile(group.Pressure())
			if err == nil {
				err = n.body.tellPressure(string(text))
			}
			if err != nil {
				return struct{}{}, err
			}
		}
	})
	n.body.stress = s
	return nil
}

// relax ends it.
func (b *body) relax() error {
	s := b.stress
	if s == nil {
		return nil
	}
	b.stress = nil
	_, err := s.relay.Stop()
	killed := unix.Kill(-s.hog.Process.Pid, unix.SIGKILL)
	_ = s.hog.Wait() // killed, as it shall be
	return errors.Join(err, killed, s.group.Close())
}
