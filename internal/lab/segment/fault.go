package segment

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/lab/bpf"
)

// Certain is the loss of every frame; losses are in parts per million.
const Certain = 1_000_000

// Direction of frames through a host's port of the switch.
type Direction uint8

// A port's two directions.
const (
	FromHost Direction = iota
	ToHost
)

func (d Direction) String() string {
	if d == ToHost {
		return "to"
	}
	return "from"
}

// Loss is what a fault takes. The zero Loss takes nothing.
type Loss struct {
	Frames uint32 // of a million frames, chosen at random
	Beats  uint32 // of a million beats among the frames that Frames let through
	// Flooded, of a million of those, if they are neither for the host's own MAC nor
	// for all stations: what a switch sends to a port because it knows no better.
	Flooded uint32
}

// loadFaults loads the programs that lose frames at the ports.
func (s *Segment) loadFaults() error {
	spec, err := bpf.LoadFault()
	if err != nil {
		return fmt.Errorf("read the fault programs: %w", err)
	}
	if err := spec.Variables[bpf.FaultVarBeatPort].Set(s.options.BeatPort); err != nil {
		return fmt.Errorf("set the beats' port: %w", err)
	}
	if err := spec.LoadAndAssign(&s.faults, nil); err != nil {
		return fmt.Errorf("load the fault programs (needs root and BPF): %w", err)
	}
	return nil
}

// attachFaults hangs the programs on a port through clsact, which every kernel
// since 4.5 has; they go away with the port.
func (s *Segment) attachFaults(port netlink.Link) error {
	index := port.Attrs().Index
	clsact := &netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: index,
		Handle:    netlink.MakeHandle(0xffff, 0),
		Parent:    netlink.HANDLE_CLSACT,
	}}
	if err := s.links.QdiscAdd(clsact); err != nil {
		return fmt.Errorf("add clsact (needs CONFIG_NET_SCH_INGRESS): %w", err)
	}
	hooks := []struct {
		direction Direction
		parent    uint32
		program   *ebpf.Program
	}{
		{FromHost, netlink.HANDLE_MIN_INGRESS, s.faults.LabFromHost},
		{ToHost, netlink.HANDLE_MIN_EGRESS, s.faults.LabToHost},
	}
	for _, hook := range hooks {
		key := portKey(index, hook.direction)
		if err := s.faults.Lost.Put(&key, uint64(0)); err != nil {
			return fmt.Errorf("count losses: %w", err)
		}
		filter := &netlink.BpfFilter{
			FilterAttrs: netlink.FilterAttrs{
				LinkIndex: index, Parent: hook.parent, Handle: 1, Priority: 1, Protocol: unix.ETH_P_ALL,
			},
			Fd: hook.program.FD(), Name: "lab_fault", DirectAction: true,
		}
		if err := s.links.FilterAdd(filter); err != nil {
			return fmt.Errorf("attach the fault program (needs CONFIG_NET_CLS_BPF): %w", err)
		}
	}
	return nil
}

// SetLoss sets what the host's port loses of what passes it in a direction.
func (s *Segment) SetLoss(h *Host, d Direction, l Loss) error {
	key := portKey(h.port, d)
	return setLoss(s.faults.PortLoss, &key, l, h)
}

// SetPairLoss sets what is lost on the way from one host to another.
func (s *Segment) SetPairLoss(from, to *Host, l Loss) error {
	key := pairKey(from, to)
	return setLoss(s.faults.PairLoss, &key, l, to)
}

// Lost counts the frames that faults have taken at the host's port.
func (s *Segment) Lost(h *Host, d Direction) (uint64, error) {
	key := portKey(h.port, d)
	var n uint64
	if err := s.faults.Lost.Lookup(&key, &n); err != nil {
		return 0, fmt.Errorf("count losses of %s: %w", h.name, err)
	}
	return n, nil
}

func setLoss(m *ebpf.Map, key any, l Loss, at *Host) error {
	if l == (Loss{}) {
		return forget(m, key)
	}
	value := bpf.FaultLoss{FramesPpm: l.Frames, BeatsPpm: l.Beats, FloodedPpm: l.Flooded}
	copy(value.Mac[:], at.nic.MAC)
	if err := m.Put(key, &value); err != nil {
		return fmt.Errorf("set losses: %w", err)
	}
	return nil
}

// forgetLosses forgets what concerns a host that leaves.
func (s *Segment) forgetLosses(h *Host) error {
	var failed []error
	for _, d := range []Direction{FromHost, ToHost} {
		key := portKey(h.port, d)
		failed = append(failed, forget(s.faults.PortLoss, &key), forget(s.faults.Lost, &key))
	}
	for _, other := range s.hosts {
		to, from := pairKey(h, other), pairKey(other, h)
		failed = append(failed, forget(s.faults.PairLoss, &to), forget(s.faults.PairLoss, &from))
	}
	return errors.Join(failed...)
}

func forget(m *ebpf.Map, key any) error {
	if err := m.Delete(key); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("end losses: %w", err)
	}
	return nil
}

func portKey(index int, d Direction) bpf.FaultPort {
	return bpf.FaultPort{Ifindex: uint32(index), Direction: bpf.FaultDirection(d)}
}

func pairKey(from, to *Host) bpf.FaultPair {
	key := bpf.FaultPair{Ifindex: uint32(to.port)}
	copy(key.Source[:], from.nic.MAC)
	return key
}
