package sign

import (
	"encoding/binary"
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
	dataLength                 uint32
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
	sgFromDevice  = -3
	sgTimeoutMS   = 2000
	checkAlways   = 0x20 // CK_COND: the answer is in the sense data, whatever it is
	protocolNone  = 3 << 1
	ataSMARTCmd   = 0xb0
	ataReturnStat = 0xda

	protocolIn    = 4<<1 | 1        // PIO data-in, with the registers of 48 bits
	oneSector     = 0x08 | 0x04 | 2 // from the device, in sectors, as many as the count register says
	ataReadLogExt = 0x2f
	statisticsLog = 0x04
)

// ataReport is what a SATA disk says of itself.
type ataReport struct {
	failing bool // a SMART attribute is past the vendor's threshold
	// unreadable are sectors that it would replace by spare ones if it could read them once more; -1
	// if it does not say. used is the percentage of its life; -1 for disks that do not wear.
	unreadable, used int64
}

func (r ataReport) trouble() string {
	switch {
	case r.failing:
		return "a SMART attribute is past its threshold"
	case r.unreadable > 0:
		return fmt.Sprintf("%d sectors that it can hardly read", r.unreadable)
	}
	return ""
}

// ataSMART asks a disk for its SMART status and for two of its statistics.
func ataSMART(device string) (r ataReport, err error) {
	file, err := os.OpenFile(device, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return r, err
	}
	defer file.Close()
	if r.failing, err = ataStatus(file); err != nil {
		return r, err
	}
	r.unreadable = ataStatistic(file, pageRotating, candidates)
	r.used = ataStatistic(file, pageSolidState, percentUsed)
	return r, nil
}

// Places in the Device Statistics log of ATA/ATAPI Command Set 3, page and byte.
const (
	pageRotating   = 0x03
	candidates     = 0x38 // Number of Reallocation Candidate Logical Sectors
	pageSolidState = 0x07
	percentUsed    = 0x08 // Percentage Used Endurance Indicator
)

// ataStatistic is a value of the Device Statistics log, by the command READ LOG EXT;
// -1 if the disk does not say: older ones do not have the log, others not the page.
func ataStatistic(file *os.File, page byte, at int) int64 {
	var log [512]byte
	command := [16]byte{0: 0x85, 1: protocolIn, 2: oneSector, 6: 1, 8: statisticsLog, 10: page, 14: ataReadLogExt}
	var sense [32]byte
	header := sgHeader{
		interfaceID: 'S', direction: sgFromDevice, commandLength: uint8(len(command)), senseLength: uint8(len(sense)),
		dataLength: uint32(len(log)), data: unsafe.Pointer(&log),
		command: unsafe.Pointer(&command), sense: unsafe.Pointer(&sense), timeoutMS: sgTimeoutMS,
	}
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, file.Fd(), sgIO, uintptr(unsafe.Pointer(&header)))
	if errno != 0 || header.status != 0 || header.hostStatus != 0 {
		return -1
	}
	return statistic(log[:], page, at)
}

// statistic reads a page: its number is in the third byte; of a value the highest byte has flags.
func statistic(log []byte, page byte, at int) int64 {
	const supported, valid = 0x80, 0x40
	if flags := log[at+7]; log[2] != page || flags&supported == 0 || flags&valid == 0 {
		return -1
	}
	value := binary.LittleEndian.Uint64(log[at:]) & (1<<56 - 1)
	if page == pageSolidState {
		value &= 0xff
	}
	return int64(value)
}

// ataStatus is the command SMART RETURN STATUS of ATA/ATAPI Command Set, by the
// SCSI command ATA PASS-THROUGH (16) of SAT.
func ataStatus(file *os.File) (failing bool, err error) {
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
