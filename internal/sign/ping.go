package sign

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

// pingWait is how long an answer may take.
const pingWait = 500 * time.Millisecond

// Types of ICMP (RFC 792) and ICMPv6 (RFC 4443) echoes.
const (
	echoRequest4, echoReply4 = 8, 0
	echoRequest6, echoReply6 = 128, 129
)

// ping sends one echo request and waits for its answer. An error is of this host, which could not
// even make a socket, and says nothing of the other.
func ping(addr netip.Addr, now func() time.Time) (answers bool, err error) {
	network, request, reply := "ip4:icmp", byte(echoRequest4), byte(echoReply4)
	if addr.Is6() {
		network, request, reply = "ip6:ipv6-icmp", echoRequest6, echoReply6
	}
	conn, err := net.DialTimeout(network, addr.String(), pingWait)
	if call, ok := errors.AsType[*os.SyscallError](err); ok && call.Syscall == "socket" {
		return false, err
	} else if err != nil {
		return false, nil
	}
	defer conn.Close()
	deadline := now().Add(pingWait)
	if err := conn.SetDeadline(deadline); err != nil {
		return false, err
	}
	echo := make([]byte, 16)
	echo[0] = request
	binary.BigEndian.PutUint16(echo[4:], uint16(os.Getpid()))
	binary.BigEndian.PutUint64(echo[8:], uint64(deadline.UnixNano())) // tells this request from every other
	if addr.Is4() {                                                   // of ICMPv6 the kernel does it
		binary.BigEndian.PutUint16(echo[2:], checksum(echo))
	}
	if _, err := conn.Write(echo); err != nil {
		return false, nil
	}
	answer := make([]byte, 128)
	for {
		n, err := conn.Read(answer)
		if err != nil {
			return false, nil
		}
		message := answer[:n]
		if addr.Is4() && n > 0 { // comes with the IP header
			message = message[min(n, int(message[0]&0x0f)*4):]
		}
		if len(message) >= len(echo) && message[0] == reply && string(message[4:len(echo)]) == string(echo[4:]) {
			return true, nil
		}
	}
}

// checksum of RFC 1071, of an even number of bytes.
func checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
