package datapath

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg"
	"github.com/rota-cluster/rota/internal/ownership"
)

const (
	// testLiveFrames is BPF_F_TEST_XDP_LIVE_FRAMES of include/uapi/linux/bpf.h:
	// what the program passes goes on into the host as if the interface had received it.
	testLiveFrames = 1 << 1
	// mostReplayed and replayFor bound one replay. One SYN takes some 35 µs.
	mostReplayed = 4096
	replayFor    = 100 * time.Millisecond
	// synGrace is after how long what was judged by an earlier table has been
	// kept: programs run for microseconds and are not preempted.
	synGrace = time.Millisecond
)

// ErrNoReplay: this kernel cannot give itself frames.
var ErrNoReplay = errors.New("replay needs Linux 5.18")

// CanReplay tells whether this kernel can give itself frames, and keeps SYNs in
// every mode.
func (d *Datapath) CanReplay() bool { return multiBuffer() }

// Sent is what became of kept SYNs that were to be sent again.
type Sent struct {
	SYNs    int // sent
	LeftOut int // too many, or no time for them
}

// Replay gives this host the SYNs that it dropped since a time (Now) in buckets
// of a pool that were another node's, but for those whose connection was seen going
// on since: that node's daemon was dead, and its kernel has answered. They take the way
// of all frames that the interface receives, and are judged by the table in force.
//
// Call it in the network namespace of the interface, after SetTable.
func (a *Attachment) Replay(pool int, buckets ownership.Bitmap, since time.Duration) (Sent, error) {
	if !a.datapath.CanReplay() {
		return Sent{}, ErrNoReplay
	}
	time.Sleep(synGrace)
	found, err := a.datapath.keptSyns(pool, func(s *keptSyn) bool { return s.by >= since && buckets.Has(s.bucket) })
	if err != nil {
		return Sent{}, err
	}
	// Where the filter stands behind the driver, it is on the way already.
	program := a.programs.Replay
	if a.mode == ModeNative {
		program = a.programs.XDP
	}
	found = slices.DeleteFunc(found, func(s keptSyn) bool { return s.answered })
	found, sent := newestOf(found)
	began := Now()
	for i, s := range found {
		if Now()-began > replayFor {
			sent.LeftOut += len(found) - i
			break
		}
		// So the filter knows it, and keeps it no second time (is_replay of bpf/syn.h).
		copy(s.frame[macLen:], a.datapath.options().Pools[pool].MAC)
		if err := receive(program, a.service.Index, s.frame); err != nil {
			return sent, err
		}
		sent.SYNs++
		yield()
	}
	return sent, nil
}

// yield lets another thread of the same priority run that waits for this CPU: the beat's.
func yield() { _, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// newestOf leaves out the oldest if there are too many.
func newestOf(found []keptSyn) ([]keptSyn, Sent) {
	surplus := max(len(found)-mostReplayed, 0)
	return found[surplus:], Sent{LeftOut: surplus}
}

// xdpContext is struct xdp_md of include/uapi/linux/bpf.h: of the first receive queue.
type xdpContext struct {
	_       uint32 // data
	dataEnd uint32
	_       uint32 // data_meta
	ifindex uint32
	_       [2]uint32 // rx_queue_index, egress_ifindex
}

// receive runs the program on a frame as if the interface had received it.
func receive(program *ebpf.Program, ifindex int, frame []byte) error {
	_, err := program.Run(&ebpf.RunOptions{
		Data: frame, Context: xdpContext{dataEnd: uint32(len(frame)), ifindex: uint32(ifindex)},
		Repeat: 1, BatchSize: 1, Flags: testLiveFrames,
	})
	if err != nil {
		return fmt.Errorf("replay a SYN: %w", err)
	}
	return nil
}

// Resend sends the SYNs on that this host dropped since a time (Now) in buckets of
// a pool while it lingered there: to the cluster's MAC, for the
// buckets' new owner, which had not begun yet when they came. No switch
// learns anything new by them: they come from this node's own MAC.
func (a *Attachment) Resend(pool int, buckets ownership.Bitmap, since time.Duration) (Sent, error) {
	found, err := a.datapath.keptSyns(pool, func(s *keptSyn) bool {
		return s.state == ownership.Lingering && s.by >= since && buckets.Has(s.bucket)
	})
	if err != nil {
		return Sent{}, err
	}
	found, sent := newestOf(found)
	if len(found) == 0 {
		return sent, nil
	}
	frames := make([][]byte, len(found))
	for i, s := range found {
		copy(s.frame, a.datapath.options().Pools[pool].MAC)
		copy(s.frame[macLen:], a.service.MAC)
		frames[i] = s.frame
	}
	if err := netcfg.Transmit(a.service, frames); err != nil {
		return Sent{}, fmt.Errorf("send SYNs on: %w", err)
	}
	sent.SYNs = len(frames)
	return sent, nil
}
