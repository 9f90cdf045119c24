package netcfg

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// driver is what ethtool -i calls the driver; empty where there is none to ask.
func driver(name string) string {
	fd, err := controlSocket()
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}

// receiveOffloads lists which of the offloads that native XDP costs are on.
// They are asked for by name: their numbers change between kernels.
func receiveOffloads(name string) []string {
	fd, err := controlSocket()
	if err != nil {
		return nil
	}
	defer unix.Close(fd)
	names := featureNames(fd, name)
	active := activeFeatures(fd, name, len(names))
	var on []string
	for i, n := range names {
		if (n == "rx-lro" || n == "rx-gro-hw") && i/32 < len(active) && active[i/32]&(1<<(i%32)) != 0 {
			on = append(on, n)
		}
	}
	slices.Sort(on)
	return on
}

const (
	featureSet     = 4  // ETH_SS_FEATURES of linux/ethtool.h
	featureNameLen = 32 // ETH_GSTRING_LEN
)

func featureNames(fd int, name string) []string {
	// struct ethtool_sset_info { u32 cmd, reserved; u64 mask; u32 count[1]; }
	info := make([]byte, 24)
	binary.NativeEndian.PutUint32(info, unix.ETHTOOL_GSSET_INFO)
	binary.NativeEndian.PutUint64(info[8:], 1<<featureSet)
	if err := ethtool(fd, name, info); err != nil || binary.NativeEndian.Uint64(info[8:]) == 0 {
		return nil
	}
	n := int(binary.NativeEndian.Uint32(info[16:]))
	// struct ethtool_gstrings { u32 cmd, string_set, len; u8 data[]; }
	text := make([]byte, 12+n*featureNameLen)
	binary.NativeEndian.PutUint32(text, unix.ETHTOOL_GSTRINGS)
	binary.NativeEndian.PutUint32(text[4:], featureSet)
	binary.NativeEndian.PutUint32(text[8:], uint32(n))
	if err := ethtool(fd, name, text); err != nil {
		return nil
	}
	names := make([]string, n)
	for i := range names {
		field := text[12+i*featureNameLen : 12+(i+1)*featureNameLen]
		names[i] = string(bytes.TrimRight(field, "\x00"))
	}
	return names
}

// activeFeatures is a bitmap over featureNames.
func activeFeatures(fd int, name string, features int) []uint32 {
	blocks := (features + 31) / 32
	// struct ethtool_gfeatures { u32 cmd, size; struct { u32 available, requested, active, never_changed; } []; }
	b := make([]byte, 8+16*blocks)
	binary.NativeEndian.PutUint32(b, unix.ETHTOOL_GFEATURES)
	binary.NativeEndian.PutUint32(b[4:], uint32(blocks))
	if blocks == 0 || ethtool(fd, name, b) != nil {
		return nil
	}
	active := make([]uint32, blocks)
	for i := range active {
		active[i] = binary.NativeEndian.Uint32(b[8+16*i+8:])
	}
	return active
}

// ifreqData is struct ifreq with ifr_data: the name, a pointer, padding.
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [24 - unsafe.Sizeof(uintptr(0))]byte
}

func ethtool(fd int, name string, request []byte) error {
	req := ifreqData{data: unsafe.Pointer(&request[0])}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(request)
	if errno != 0 {
		return errno
	}
	return nil
}

// controlSocket is any socket of this namespace, for interface ioctls.
func controlSocket() (int, error) {
	return unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
}
