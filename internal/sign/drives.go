package sign

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rota-cluster/rota/internal/health"
)

// drives asks the disks themselves.
type drives struct {
	roots Roots
	nvme  func(device string) (smartLog, error)
	ata   func(device string) (ataReport, error)
}

func newDrives(roots Roots) drives { return drives{roots: roots, nvme: nvmeSMART, ata: ataSMART} }

// drive is what one disk says.
type drive struct {
	name    string
	trouble string // "" if it finds itself well
	wear    int    // percent of its life used; -1 if it does not say
}

// ask reads all disks that can tell: NVMe, SATA, eMMC; unread are those that should, and do not.
func (d drives) ask() (found []drive, unread []error) {
	for _, path := range d.glob("class/nvme/nvme*") {
		log, err := d.nvme(filepath.Join(d.roots.Dev, filepath.Base(path)))
		if err != nil {
			unread = append(unread, fmt.Errorf("%s: %w", filepath.Base(path), err))
			continue
		}
		found = append(found, drive{filepath.Base(path), log.trouble(), log.used()})
	}
	for _, path := range d.glob("block/sd*") {
		vendor, err := readFile(filepath.Join(path, "device/vendor"))
		if err != nil || strings.TrimSpace(string(vendor)) != "ATA" {
			continue // not a SATA disk: nothing to ask
		}
		name := filepath.Base(path)
		report, err := d.ata(filepath.Join(d.roots.Dev, name))
		if err != nil {
			unread = append(unread, fmt.Errorf("%s: %w", name, err))
			continue
		}
		found = append(found, drive{name, report.trouble(), int(report.used)})
	}
	for _, path := range d.glob("block/mmcblk*") {
		one, err := emmc(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // an SD card, or an old eMMC
		}
		if err != nil {
			unread = append(unread, fmt.Errorf("%s: %w", filepath.Base(path), err))
			continue
		}
		found = append(found, one)
	}
	return found, unread
}

func (d drives) glob(pattern string) []string {
	paths, err := filepath.Glob(filepath.Join(d.roots.Sys, pattern))
	if err != nil { // only for a pattern that is none
		return nil
	}
	slices.Sort(paths)
	return paths
}

// emmc: JESD84-B51, DEVICE_LIFE_TIME_EST in tenths of two kinds of memory, PRE_EOL_INFO; 0 is "not defined".
func emmc(path string) (drive, error) {
	one := drive{name: filepath.Base(path), wear: -1}
	text, err := readFile(filepath.Join(path, "device/life_time"))
	if err != nil {
		return one, err
	}
	words := strings.Fields(string(text))
	for _, word := range words {
		n, err := strconv.ParseUint(word, 0, 8)
		if err != nil {
			return one, fmt.Errorf("its life time is %q, %w", word, errNoNumber)
		}
		if n > 0 {
			one.wear = max(one.wear, int(n)*10)
		}
	}
	if len(words) == 0 {
		return one, errors.New("its life time is empty")
	}
	eol, err := readUint(filepath.Join(path, "device/pre_eol_info"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return one, err
	}
	if eol > 1 {
		one.trouble = "its spare blocks are nearly used up"
	}
	return one, nil
}

const noDrives = "no NVMe, SATA or eMMC disk here"

// diskHealth counts disks that say of themselves that they are ill.
type diskHealth struct{ drives drives }

func (h diskHealth) read() health.Reading {
	all, unread := h.drives.ask()
	if len(all) == 0 {
		return beside(cannotTell(noDrives), unread)
	}
	var ill []string
	for _, d := range all {
		if d.trouble != "" {
			ill = append(ill, d.name+": "+d.trouble)
		}
	}
	if len(ill) == 0 {
		return beside(measured(0, "%d disks find themselves well", len(all)), unread)
	}
	return beside(measured(float64(len(ill)), "%s", strings.Join(ill, "; ")), unread)
}

// diskWear is how much of its life the most worn disk has used.
type diskWear struct{ drives drives }

func (w diskWear) read() health.Reading {
	all, unread := w.drives.ask()
	worst := drive{wear: -1}
	for _, d := range all {
		if d.wear > worst.wear {
			worst = d
		}
	}
	if worst.wear < 0 {
		return beside(cannotTell("no disk here tells its wear"), unread)
	}
	return beside(measured(float64(worst.wear), "%s has used %d %% of its life", worst.name, worst.wear), unread)
}
