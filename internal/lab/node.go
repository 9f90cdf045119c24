package lab

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab/probe"
	"github.com/rota-cluster/rota/internal/lab/segment"
	"github.com/rota-cluster/rota/internal/lab/service"
)

// Node is a host of the cluster: a namespace with a service and a daemon.
type Node struct {
	lab     *Lab
	host    *segment.Host
	client  *api.Client
	service *probe.Running[struct{}]
	body    *body // nil unless it can fall ill

	mu     sync.Mutex
	daemon *daemon // the last one started
	frozen bool
	cut    bool
	wanted bool // the daemon should be running
}

// Name of the node.
func (n *Node) Name() string { return n.host.Name() }

// Host is the node's machine.
func (n *Node) Host() *segment.Host { return n.host }

// Socket is where the node's daemon answers.
func (n *Node) Socket() string { return n.lab.filesOf(n.Name()).socket }

// ConfigFile of the node's daemon; an edit counts from its next start or reload.
func (n *Node) ConfigFile() string { return n.lab.filesOf(n.Name()).config }

// LogFile is where the daemon's output goes, of all its runs.
func (n *Node) LogFile() string { return n.lab.filesOf(n.Name()).log }

// HooksDir holds the node's hooks: executables there are run on every change.
func (n *Node) HooksDir() string { return n.lab.filesOf(n.Name()).hooks }

// Cut takes the node off the switch without its knowing: every frame is lost,
// both ways.
func (n *Node) Cut() error { return n.lose(true, segment.Loss{Frames: segment.Certain}) }

// Lose loses so many of a million frames or beats, both ways, at random.
func (n *Node) Lose(l segment.Loss) error { return n.lose(false, l) }

// LoseOneWay loses frames or beats in one direction only.
func (n *Node) LoseOneWay(d segment.Direction, l segment.Loss) error {
	return n.lab.segment.SetLoss(n.host, d, l)
}

// Heal ends the losses at the node's port and puts its cables back. It does not
// end those between pairs (Lab.Partition).
func (n *Node) Heal() error {
	failed := []error{n.lose(false, segment.Loss{}), n.lab.segment.SetCarrier(n.host, true)}
	if n.lab.options.SecondPath {
		failed = append(failed, n.PlugSecond())
	}
	return errors.Join(failed...)
}

// Unflood has the switch send the node only what is for its own MAC or for all
// stations: neither the service's traffic nor beats, but everything else.
func (n *Node) Unflood() error {
	return n.LoseOneWay(segment.ToHost, segment.Loss{Flooded: segment.Certain})
}

// UnplugSecond pulls the node's cable of the second network, PlugSecond puts it back.
func (n *Node) UnplugSecond() error { return n.lab.segment.SetSecondCarrier(n.host, false) }

// PlugSecond puts it back.
func (n *Node) PlugSecond() error { return n.lab.segment.SetSecondCarrier(n.host, true) }

// Unplug pulls the node's cable; Heal puts it back. The node sees its carrier go.
func (n *Node) Unplug() error {
	n.mu.Lock()
	n.cut = true
	n.mu.Unlock()
	return n.lab.segment.SetCarrier(n.host, false)
}

func (n *Node) lose(cut bool, l segment.Loss) error {
	n.mu.Lock()
	n.cut = cut
	n.mu.Unlock()
	return errors.Join(n.LoseOneWay(segment.FromHost, l), n.LoseOneWay(segment.ToHost, l))
}

// Freeze stops the daemon where it is (SIGSTOP).
func (n *Node) Freeze() error { return n.signal(syscall.SIGSTOP, true) }

// Thaw lets a frozen daemon go on.
func (n *Node) Thaw() error { return n.signal(syscall.SIGCONT, false) }

func (n *Node) signal(s syscall.Signal, frozen bool) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.daemon == nil {
		return fmt.Errorf("%s: %w", n.Name(), errNotRunning)
	}
	if err := n.daemon.signal(s); err != nil {
		return fmt.Errorf("%s: %w", n.Name(), err)
	}
	n.frozen = frozen
	return nil
}

// Start starts the daemon if it is not running. It does not wait until it serves.
func (n *Node) Start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.daemon != nil && n.daemon.running() {
		return fmt.Errorf("%s: its daemon is running already", n.Name())
	}
	cmd := exec.Command(n.lab.options.Binary, "run", "--config", n.ConfigFile())
	if n.body != nil {
		cmd = n.body.command(n.lab.options.Binary, "run", "--config", n.ConfigFile())
	}
	d, err := startDaemon(n.host, cmd, n.LogFile())
	if err != nil {
		return fmt.Errorf("%s: %w", n.Name(), err)
	}
	n.daemon, n.frozen, n.wanted = d, false, true
	return nil
}

// Kill ends the daemon at once (SIGKILL); the host and its service go on.
func (n *Node) Kill() error { return n.end((*daemon).kill) }

// Stop asks the daemon to end at once, with a goodbye (SIGTERM twice), and waits for
// it. It is an error if the daemon fails, or has to be killed because it takes longer
// than 5 s.
func (n *Node) Stop() error { return n.end((*daemon).stop) }

// Leave asks the daemon to end (SIGTERM): it drains first. Returns when it has ended.
func (n *Node) Leave(ctx context.Context) error {
	n.mu.Lock()
	d := n.daemon
	n.wanted = false
	n.mu.Unlock()
	err := errNotRunning
	if d != nil {
		err = d.leave(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", n.Name(), err)
	}
	return nil
}

// Upgrade orders the daemon to restart without a takeover (rota restart), and returns
// when the next one answers.
func (n *Node) Upgrade(ctx context.Context) error {
	before, err := n.Status(ctx)
	if err != nil {
		return err
	}
	if err := n.client.Restart(ctx); err != nil {
		return fmt.Errorf("%s: %w", n.Name(), err)
	}
	tick := time.NewTicker(upgradeLook)
	defer tick.Stop()
	for {
		now, err := n.Status(ctx)
		if err == nil && !now.Started.Equal(before.Started) {
			return nil
		}
		if err := n.ended(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: is not back from its restart: %w", n.Name(), errors.Join(ctx.Err(), err))
		case <-tick.C:
		}
	}
}

// upgradeLook is how often a daemon that restarts is looked for.
const upgradeLook = 10 * time.Millisecond

// Restart is Stop and Start.
func (n *Node) Restart() error {
	if err := n.Stop(); err != nil {
		return err
	}
	return n.Start()
}

func (n *Node) end(how func(*daemon) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.wanted = false
	if n.daemon == nil {
		return fmt.Errorf("%s: %w", n.Name(), errNotRunning)
	}
	if err := how(n.daemon); err != nil {
		return fmt.Errorf("%s: %w", n.Name(), err)
	}
	return nil
}

// Running tells whether the daemon runs, frozen or not.
func (n *Node) Running() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.daemon != nil && n.daemon.running()
}

// Pid of the running daemon.
func (n *Node) Pid() (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.daemon == nil || !n.daemon.running() {
		return 0, fmt.Errorf("%s: %w", n.Name(), errNotRunning)
	}
	return n.daemon.process.Pid, nil
}

// Condition of the node as the lab made it, in a word.
func (n *Node) Condition() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.daemon == nil || !n.daemon.running():
		return "stopped"
	case n.frozen:
		return "frozen"
	case n.cut:
		return "cut"
	}
	return "up"
}

// ended is an error if the daemon ended although nobody asked it to.
func (n *Node) ended() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.wanted || n.daemon.running() {
		return nil
	}
	how := "exit status 0"
	if n.daemon.err != nil {
		how = n.daemon.err.Error()
	}
	return fmt.Errorf("%s: %w: %s\n%s", n.Name(), errEnded, how, cmp.Or(lastLines(n.LogFile()), "(it said nothing)"))
}

// serve runs the node's service until the node is closed.
func (n *Node) serve(ctx context.Context) error {
	s, err := service.Listen(ctx, n.host)
	if err != nil {
		return err
	}
	n.service = probe.Start(context.WithoutCancel(ctx), func(ctx context.Context) (struct{}, error) {
		return struct{}{}, s.Run(ctx)
	})
	return nil
}

// BreakService ends the node's service, as if it had been killed: its connections are
// reset, and nobody listens any more.
func (n *Node) BreakService() error {
	if n.service == nil {
		return fmt.Errorf("%s: its service does not run", n.Name())
	}
	_, err := n.service.Stop()
	n.service = nil
	return err
}

// MendService starts it again.
func (n *Node) MendService(ctx context.Context) error { return n.serve(ctx) }

// close ends the daemon and the service. That the daemon has ended already is no error.
func (n *Node) close() error {
	var failed []error
	if n.Running() {
		failed = append(failed, n.Stop())
	}
	if n.service != nil {
		_, err := n.service.Stop()
		failed = append(failed, err)
	}
	if n.body != nil {
		failed = append(failed, n.body.close())
	}
	return errors.Join(failed...)
}
