package sign

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const routeByGateway = 0x0002 // RTF_GATEWAY, linux/route.h

// gateways are the next hops of the default routes by a device.
func gateways(proc, device string) (found []netip.Addr, err error) {
	four, err := readFile(filepath.Join(proc, "net/route"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(four)) {
		// Interface, destination, gateway, flags, …, mask (7); host order.
		f := strings.Fields(line)
		if len(f) > 7 && f[0] == device && f[1] == "00000000" && f[7] == "00000000" && byGateway(f[3]) {
			if raw, err := hex.DecodeString(f[2]); err == nil && len(raw) == 4 {
				slices.Reverse(raw)
				found = append(found, netip.AddrFrom4([4]byte(raw)))
			}
		}
	}
	six, err := readFile(filepath.Join(proc, "net/ipv6_route"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for line := range strings.Lines(string(six)) {
		// Destination, its length, source, its length, next hop, metric, …, flags (8), device.
		f := strings.Fields(line)
		if len(f) > 9 && f[9] == device && f[1] == "00" && byGateway(f[8]) {
			if raw, err := hex.DecodeString(f[4]); err == nil && len(raw) == 16 {
				addr := netip.AddrFrom16([16]byte(raw))
				if addr.IsLinkLocalUnicast() {
					addr = addr.WithZone(device)
				}
				found = append(found, addr)
			}
		}
	}
	slices.SortFunc(found, netip.Addr.Compare)
	return slices.Compact(found), nil
}

func byGateway(flags string) bool {
	n, err := strconv.ParseUint(flags, 16, 32)
	return err == nil && n&routeByGateway != 0
}

// resolved tells whether the kernel knows the MAC of an IPv4 neighbour: ATF_COM of net/if_arp.h.
func resolved(proc, device string, addr netip.Addr) bool {
	text, err := readFile(filepath.Join(proc, "net/arp"))
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) == 6 && f[0] == addr.String() && f[5] == device {
			n, err := strconv.ParseUint(f[2], 0, 16)
			return err == nil && n&0x2 != 0
		}
	}
	return false
}
