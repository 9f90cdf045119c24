package peer

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/bpf"
)

func TestFilterTakesBeatsAndNothingElse(t *testing.T) {
	addresses := []netip.Addr{shared6, netip.MustParseAddr("192.0.2.11"), shared4, netip.MustParseAddr("2001:db8::11")}
	vm, err := bpf.NewVM(frameFilter(beatPort, acceptAt(0, clusterMAC[:]), addresses))
	if err != nil {
		t.Fatal(err)
	}
	with := func(f Frame, change func(*Frame)) []byte {
		change(&f)
		return mustAppend(t, f)
	}
	set := func(b []byte, at int, to ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], to)
		return b
	}
	elsewhere4 := func(f *Frame) { f.Destination = netip.MustParseAddr("192.0.2.12") }
	elsewhere6 := func(f *Frame) { f.Destination = netip.MustParseAddr("2001:db8::12") }
	otherMAC := func(f *Frame) { f.DestinationMAC = MAC{0x03, 1, 2, 3, 4, 6} }
	v4, v6 := mustAppend(t, frame4("beat")), mustAppend(t, frame6("beat"))
	options := append(append(bytes.Clone(v4[:34]), 1, 1, 1, 1), v4[34:]...)
	options[14] = 0x46
	rows := []struct {
		name  string
		frame []byte
		want  bool
	}{
		{"IPv4", v4, true},
		{"IPv6", v6, true},
		{"IPv4 with options", options, true},
		{"IPv4 to another shared address", with(frame4(""), func(f *Frame) { f.Destination = addresses[1]; otherMAC(f) }), true},
		{"IPv6 to the last shared address", with(frame6(""), func(f *Frame) { f.Destination = addresses[3]; otherMAC(f) }), true},
		{"IPv4 to the cluster's MAC and an address not ours", with(frame4(""), elsewhere4), true},
		{"IPv6 to the cluster's MAC and an address not ours", with(frame6(""), elsewhere6), true},
		{"IPv4 to neither", with(frame4(""), func(f *Frame) { elsewhere4(f); otherMAC(f) }), false},
		{"IPv6 to neither", with(frame6(""), func(f *Frame) { elsewhere6(f); otherMAC(f) }), false},
		{"IPv4 to another port", with(frame4(""), func(f *Frame) { f.DestinationPort++ }), false},
		{"IPv6 to another port", with(frame6(""), func(f *Frame) { f.DestinationPort++ }), false},
		{"IPv4 from another port", with(frame4(""), func(f *Frame) { f.SourcePort++ }), true},
		{"TCP over IPv4", set(v4, 23, 6), false},
		{"TCP over IPv6", set(v6, 20, 6), false},
		{"the first fragment", set(v4, 20, 0x20, 0), false},
		{"the last fragment", set(v4, 20, 0, 8), false},
		{"ARP", set(v4, 12, 0x08, 0x06), false},
		{"a VLAN tag in the frame", set(v4, 12, 0x81, 0), false},
		{"cut off before the port", v4[:34], false},
		{"cut off before the type", v4[:12], false},
		{"nothing", nil, false},
	}
	for _, row := range rows {
		n, err := vm.Run(row.frame)
		if err != nil {
			t.Fatalf("%s: %v", row.name, err)
		}
		if (n > 0) != row.want || n > 0 && n < len(row.frame) {
			t.Errorf("%s: takes %d bytes, want %v", row.name, n, row.want)
		}
	}
}

// On another interface other clusters may speak to all stations.
func TestFilterBesideTakesSharedAddressesAlone(t *testing.T) {
	vm, err := bpf.NewVM(frameFilter(beatPort, nil, []netip.Addr{shared4, shared6}))
	if err != nil {
		t.Fatal(err)
	}
	elsewhere4, elsewhere6 := frame4(""), frame6("")
	elsewhere4.Destination, elsewhere6.Destination = netip.MustParseAddr("192.0.2.12"), netip.MustParseAddr("2001:db8::12")
	for _, row := range []struct {
		name  string
		frame Frame
		want  bool
	}{
		{"IPv4 to a shared address", frame4(""), true},
		{"IPv6 to a shared address", frame6(""), true},
		{"IPv4 to another cluster's", elsewhere4, false},
		{"IPv6 to another cluster's", elsewhere6, false},
	} {
		for _, mac := range []MAC{clusterMAC, broadcast} {
			row.frame.DestinationMAC = mac
			if n, err := vm.Run(mustAppend(t, row.frame)); err != nil || (n > 0) != row.want {
				t.Errorf("%s at %s: takes %d bytes, %v, want %v", row.name, mac, n, err, row.want)
			}
		}
	}
}

func TestFilterOfTheMostAddressesFitsTheKernel(t *testing.T) {
	addresses := make([]netip.Addr, MaxAddresses)
	for i := range addresses {
		a := shared6.As16()
		binary.BigEndian.PutUint16(a[14:], uint16(i))
		addresses[i] = netip.AddrFrom16(a)
	}
	program := filter(beatPort, clusterMAC, addresses)
	const maxInstructions = 4096 // include/uapi/linux/bpf_common.h, BPF_MAXINSNS
	if len(program) > maxInstructions {
		t.Fatalf("%d instructions", len(program))
	}
	vm, err := bpf.NewVM(frameFilter(beatPort, acceptAt(0, clusterMAC[:]), addresses))
	if err != nil {
		t.Fatal(err)
	}
	f := frame6("")
	f.DestinationMAC, f.Destination = ownMAC, addresses[MaxAddresses-1]
	if n, err := vm.Run(mustAppend(t, f)); n == 0 || err != nil {
		t.Errorf("the last address: %d, %v", n, err)
	}
}
