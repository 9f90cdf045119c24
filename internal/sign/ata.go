package sign

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sgHeader is struct sg_io_hdr of scsi/sg.h.
type sgHeader struct {
	interfaceID, direction     int32
	commandLength, senseLength uint8
	_                          uint16
	_                          uint32
	data, command, sense       unsafe.Pointer
	timeoutMS, _               uint32
	_                          int32
	_                          unsafe.Pointer
	status, _, _, senseWritten uint8
	hostStatus, driverStatus   uint16
	_                          int32
	_, _                       uint32
}

const (
	sgIO          = 0x2285
	sgNoData      = -1
	sgTimeoutMS   = 2000
	checkAlways   = 0x20 // CK_COND: the answer is in the sense data, whatever it is
	protocolNone  = 3 << 1
	ataSMARTCmd   = 0xb0
	ataReturnStat = 0xda
)

// ataSMART is the command SMART RETURN STATUS of ATA/ATAPI Command Set, by the
// SCSI command ATA PASS-THROUGH (16) of SAT.
func ataSMART(device string) (failing bool, err error) {
	file, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, err
	}
	defer file.Close()
	command := [16]byte{0: 0x85, 1: protocolNone, 2: checkAlways, 4: ataReturnStat, 10: 0x4f, 12: 0xc2, 14: ataSMARTCmd}
	var sense [32]byte
	header := sgHeader{
		interfaceID: 'S', direction: sgNoData, commandLength: uint8(len(command)), senseLength: uint8(len(sense)),
		command: unsafe.Pointer(&command), sense: unsafe.Pointer(&sense), timeoutMS: sgTimeoutMS,
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), sgIO, uintptr(unsafe.Pointer(&header))); errno != 0 {
		return false, fmt.Errorf("ask for its SMART status: %w", errno)
	}
	return smartStatus(sense[:])
}

// smartStatus reads the ATA status return descriptor: LBA mid and high are
// 4f c2 when all is well, f4 2c when a threshold is exceeded.
func smartStatus(sense []byte) (failing bool, err error) {
	if sense[0]&0x7f != 0x72 || sense[8] != 0x09 {
		return false, fmt.Errorf("it does not answer for its SMART status")
	}
	switch mid, high := sense[8+9], sense[8+11]; {
	case mid == 0x4f && high == 0xc2:
		return false, nil
	case mid == 0xf4 && high == 0x2c:
		return true, nil
	}
	return false, fmt.Errorf("it has no SMART status, or SMART is off")
}
