package sign

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// smartLog is the log page "SMART / Health Information" of the NVMe base specification.
type smartLog [512]byte

// The bits of its first byte, critical warning.
var nvmeWarnings = []string{
	"spare blocks nearly used up", "too hot or too cold", "media or internal errors", "read-only",
	"backup of its volatile memory failed", "persistent memory read-only",
}

func (l smartLog) trouble() string {
	var all []string
	for i, text := range nvmeWarnings {
		if l[0]&(1<<i) != 0 {
			all = append(all, text)
		}
	}
	return strings.Join(all, ", ")
}

// used is the vendor's estimate, which may exceed 100.
func (l smartLog) used() int { return int(l[5]) }

// nvmeCommand is struct nvme_passthru_cmd of linux/nvme_ioctl.h.
type nvmeCommand struct {
	opcode, flags        uint8
	_                    uint16
	namespace            uint32
	_, _                 uint32
	_                    uint64 // metadata
	address              uint64
	_, length            uint32
	dword10              uint32
	_, _, _, _, _        uint32
	timeoutMS, completed uint32
}

const (
	nvmeIoctlAdmin  = 0xc0484e41 // _IOWR('N', 0x41, struct nvme_passthru_cmd)
	nvmeGetLogPage  = 0x02
	nvmeSMARTPage   = 0x02
	nvmeAll         = 0xffffffff
	nvmeTimeoutMS   = 2000
	nvmeDwordsMinus = len(smartLog{})/4 - 1
)

func nvmeSMART(device string) (smartLog, error) {
	var log smartLog
	file, err := os.Open(device)
	if err != nil {
		return log, err
	}
	defer file.Close()
	command := nvmeCommand{
		opcode: nvmeGetLogPage, namespace: nvmeAll, address: uint64(uintptr(unsafe.Pointer(&log))), length: uint32(len(log)),
		dword10: nvmeSMARTPage | uint32(nvmeDwordsMinus)<<16, timeoutMS: nvmeTimeoutMS,
	}
	status, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), nvmeIoctlAdmin, uintptr(unsafe.Pointer(&command)))
	switch {
	case errno != 0:
		return log, fmt.Errorf("ask for its SMART log: %w", errno)
	case status != 0:
		return log, fmt.Errorf("ask for its SMART log: NVMe status %#x", status)
	}
	return log, nil
}
