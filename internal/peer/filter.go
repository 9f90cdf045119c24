package peer

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
)

// MaxAddresses is how many shared addresses a filter can hold: at nine
// instructions each it stays below the kernel's 4096 (BPF_MAXINSNS).
const MaxAddresses = 256

// snapshot is how much of an accepted frame the kernel hands over: all.
const snapshot = 1 << 18

// filter is the classic BPF program of the receiving socket, which sees every
// frame of the interface. It takes whole UDP datagrams to the port, outside
// any VLAN, sent to the cluster's MAC or to a shared address. Either is
// enough: nodes whose configurations differ must still hear each other, or
// each would think itself alone.
func filter(port uint16, mac MAC, addresses []netip.Addr) []bpf.Instruction {
	return untagged(frameFilter(port, acceptAt(0, mac[:]), addresses))
}

// filterBeside is the same for what is sent to a shared address alone.
func filterBeside(port uint16, addresses []netip.Addr) []bpf.Instruction {
	return untagged(frameFilter(port, nil, addresses))
}

func untagged(program []bpf.Instruction) []bpf.Instruction {
	// A NIC may have taken the VLAN tag out of the frame; 0 is a mere priority.
	return append([]bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtVLANTag},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x0fff},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}, program...)
}

// frameFilter looks at the bytes of the frame alone. Jumps are short: what
// does not fit returns on the spot.
func frameFilter(port uint16, toMAC []bpf.Instruction, addresses []netip.Addr) []bpf.Instruction {
	const (
		ip        = etherBytes
		anyOffset = 0x3fff // more-fragments and offset
	)
	v4 := []bpf.Instruction{
		bpf.LoadAbsolute{Off: ip + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protoUDP, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadAbsolute{Off: ip + 6, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpBitsNotSet, Val: anyOffset, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadMemShift{Off: ip},
		bpf.LoadIndirect{Off: ip + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
	v4 = append(v4, toMAC...)
	v6 := []bpf.Instruction{
		bpf.LoadAbsolute{Off: ip + 6, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protoUDP, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.LoadAbsolute{Off: ip + ipv6Bytes + 2, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(port), SkipTrue: 1},
		bpf.RetConstant{Val: 0},
	}
	v6 = append(v6, toMAC...)
	for _, a := range addresses {
		if a = a.Unmap(); a.Is4() {
			v4 = append(v4, acceptAt(ip+16, a.AsSlice())...)
		} else {
			v6 = append(v6, acceptAt(ip+24, a.AsSlice())...)
		}
	}
	v4 = append(v4, bpf.RetConstant{Val: 0})
	v6 = append(v6, bpf.RetConstant{Val: 0})
	all := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherIPv4, SkipTrue: 1},
		bpf.Jump{Skip: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherIPv6, SkipTrue: 1},
		bpf.Jump{Skip: uint32(1 + len(v4))},
		bpf.RetConstant{Val: 0},
	}
	return append(append(all, v4...), v6...)
}

// acceptAt returns the whole frame if the bytes, 4 or more of them and an even
// number, stand at off; else it goes on after itself.
func acceptAt(off uint32, want []byte) []bpf.Instruction {
	var all []bpf.Instruction
	for len(want) > 0 {
		size := 4
		if len(want) < 4 {
			size = 2
		}
		val := uint32(binary.BigEndian.Uint16(want))
		if size == 4 {
			val = binary.BigEndian.Uint32(want)
		}
		all = append(all,
			bpf.LoadAbsolute{Off: off, Size: size},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: val}, // its way out is set below
		)
		off, want = off+uint32(size), want[size:]
	}
	all = append(all, bpf.RetConstant{Val: snapshot})
	for i := 1; i < len(all); i += 2 {
		jump := all[i].(bpf.JumpIf)
		jump.SkipFalse = uint8(len(all) - 1 - i)
		all[i] = jump
	}
	return all
}
