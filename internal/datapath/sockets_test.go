package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/rota-cluster/rota/internal/netcfg/netnstest"
)

// openingPort is the client's port of the connections that are opening;
// nothing answers for these clients' part in the handshake.
const openingPort = 4321

// sockets is a namespace with the sockets of a service on the shared
// addresses, port 80, and of its clients client4 and client6 with the ports
// given. UDP is served on port 53, connected to the clients' port 5353.
type sockets struct {
	space                      *netnstest.Space
	established4, established6 uint16
	timeWait4, timeWait6       uint16
	isn4, isn6                 uint32 // of the SYN-ACKs of what is opening
}

func newSockets(t *testing.T) *sockets {
	t.Helper()
	s := &sockets{space: netnstest.New(t)}
	for _, a := range []string{web4 + "/32", web6 + "/128", client4 + "/32", client6 + "/128"} {
		s.space.AddAddress("lo", a)
	}
	// IPv6 makes an address local in its own time (addrconf_dad_work).
	netnstest.Until(t, "the addresses are local", func() bool {
		return s.space.Try(func() error { return errors.Join(local(web6), local(client6)) }) == nil
	})
	s.space.Do(func() (err error) {
		if s.established4, s.timeWait4, err = openTCP(t, web4, client4); err != nil {
			return err
		}
		s.established6, s.timeWait6, err = openTCP(t, web6, client6)
		return errors.Join(err, openUDP(t, web4, client4), openUDP(t, web6, client6))
	})
	// The client's own stack would answer the SYN-ACK: its address goes before.
	s.space.DeleteAddress("lo", client4+"/32")
	s.space.DeleteAddress("lo", client6+"/128")
	s.space.Route("lo", "0.0.0.0/0", netip.Addr{})
	s.space.Route("lo", "::/0", netip.Addr{})
	wire := s.space.Capture("lo")
	s.space.Do(func() error {
		return errors.Join(
			sendSYN(unix.AF_INET, &unix.SockaddrInet4{Addr: addr(web4).As4()}, ip4(client4, web4, tcp(openingPort, 80, tcpSYN))),
			sendSYN(unix.AF_INET6, &unix.SockaddrInet6{Addr: addr(web6).As16()}, ip6(client6, web6, tcp(openingPort, 80, tcpSYN))))
	})
	s.await(t, 6, s.timeWait4, s.timeWait6)
	s.await(t, 3, openingPort, openingPort)
	s.isn4 = awaitSYNACK(wire, etherTypeIPv4, 14+20)
	// IPv6 refuses routes to lo (ip6_route_info_create): there is only the error that quotes it.
	s.isn6 = awaitSYNACK(wire, etherTypeIPv6, 14+40+8+40)
	return s
}

// awaitSYNACK waits for one to the opening connection's client, at that place
// in a frame, and tells its sequence number.
func awaitSYNACK(wire *netnstest.Capture, etherType uint16, at int) uint32 {
	f := wire.Await("a SYN-ACK", func(f netnstest.Frame) bool {
		if binary.BigEndian.Uint16(f.Bytes[12:]) != etherType || len(f.Bytes) < at+20 {
			return false
		}
		segment := f.Bytes[at:]
		return binary.BigEndian.Uint16(segment[2:]) == openingPort && segment[13] == tcpSYN|tcpACK
	})
	return binary.BigEndian.Uint32(f.Bytes[at+4:])
}

// await waits until there are sockets of both services in a TCP state, with
// clients of these ports.
func (s *sockets) await(t *testing.T, state uint32, port4, port6 uint16) {
	t.Helper()
	netnstest.Until(t, fmt.Sprintf("sockets are in TCP state %d", state), func() bool {
		found := 0
		look := func(sk tcpSocket) {
			if sk.remote == netip.AddrPortFrom(addr(client4), port4) || sk.remote == netip.AddrPortFrom(addr(client6), port6) {
				found++
			}
		}
		s.space.Do(func() error {
			return errors.Join(dumpTCP(unix.AF_INET, 1<<state, look), dumpTCP(unix.AF_INET6, 1<<state, look))
		})
		return found == 2
	})
}

// expectVerdict is the function of that name, within the namespace.
func (s *sockets) expectVerdict(t *testing.T, d *Datapath, frame []byte, want Verdict) {
	t.Helper()
	s.space.Do(func() error {
		expectVerdict(t, d, frame, want)
		return nil
	})
}

// openTCP leaves a listener, an established connection and one in TIME_WAIT on
// the server's side. It returns the ports of the client's side.
func openTCP(t *testing.T, server, client string) (established, timeWait uint16, err error) {
	listener, err := net.Listen("tcp", netip.AddrPortFrom(addr(server), 80).String())
	if err != nil {
		return 0, 0, err
	}
	t.Cleanup(func() { _ = listener.Close() })
	here, there, established, err := connectPair(listener, client)
	if err != nil {
		return 0, 0, err
	}
	t.Cleanup(func() { _, _ = here.Close(), there.Close() })
	here, there, timeWait, err = connectPair(listener, client)
	if err != nil {
		return 0, 0, err
	}
	// Who closes first is left in TIME_WAIT.
	if err := here.Close(); err != nil {
		return 0, 0, err
	}
	if _, err := there.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		return 0, 0, fmt.Errorf("read from a connection that was closed: %w", err)
	}
	return established, timeWait, there.Close()
}

func connectPair(listener net.Listener, client string) (here, there net.Conn, port uint16, err error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: addr(client).AsSlice()}}
	if there, err = dialer.Dial("tcp", listener.Addr().String()); err != nil {
		return nil, nil, 0, err
	}
	here, err = listener.Accept()
	return here, there, uint16(there.LocalAddr().(*net.TCPAddr).Port), err
}

// local is nil if the kernel takes packets to the address for its own.
func local(a string) error {
	routes, err := netlink.RouteGet(addr(a).AsSlice())
	if err == nil && (len(routes) == 0 || routes[0].Type != unix.RTN_LOCAL) {
		err = errors.New("not local")
	}
	return err
}

func openUDP(t *testing.T, server, client string) error {
	at := func(a string, port int) *net.UDPAddr { return &net.UDPAddr{IP: addr(a).AsSlice(), Port: port} }
	connected, err := net.DialUDP("udp", at(server, 53), at(client, 5353))
	if err != nil {
		return err
	}
	t.Cleanup(func() { _ = connected.Close() })
	return nil
}

// sendSYN sends a packet as it is, with its checksums filled in.
func sendSYN(family int, to unix.Sockaddr, p packetOf) error {
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	return unix.Sendto(fd, summed(p).bytes, 0, to)
}
