package datapath

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/netcfg"
)

// Mode is where the filter stands on the service interface.
type Mode uint8

const (
	// ModeNone means that the filter stands nowhere.
	ModeNone Mode = iota
	// ModeNative is XDP in the driver.
	ModeNative
	// ModeGeneric is XDP in the kernel's receive path, for any driver.
	ModeGeneric
	// ModeTC is tc ingress.
	ModeTC
)

// String is the word that status shows.
func (m Mode) String() string {
	names := [...]string{"none", "native", "generic", "tc"}
	if int(m) < len(names) {
		return names[m]
	}
	return fmt.Sprintf("mode %d", m)
}

// keepsOffloads are the drivers that go on joining frames (napi_gro_receive)
// after an XDP program has passed them, and whose sender need not cut its
// segments for it. Others pay for every bulk connection, also those that have
// nothing to do with a shared address: on veth 20.7 Gb/s became 3.1.
var keepsOffloads = []string{
	"bnxt_en", "cpsw", "dpaa2-eth", "ena", "enetc", "fec", "fsl_dpaa2_eth", "gve", "i40e", "ice", "igb", "igc",
	"ionic", "ixgbe", "ixgbevf", "lan966x-switch", "mlx4_en", "mlx5_core", "mtk_soc_eth", "mvneta", "mvpp2", "nfp",
	"nicvf", "qede", "rvu_nicpf", "rvu_nicvf", "sfc", "st_gmac", "stmmac", "tsnep",
}

// choice is a mode to try and why.
type choice struct {
	mode   Mode
	reason string
}

// choose lists the modes to try for a wish, in order. foreign describes an XDP
// program of somebody else on the interface, if there is one.
func choose(wish config.Datapath, link netcfg.Link, foreign string) []choice {
	tc := func(format string, args ...any) choice { return choice{ModeTC, fmt.Sprintf(format, args...)} }
	switch wish {
	case config.DatapathXDP:
		return []choice{{ModeNative, "configured"}}
	case config.DatapathXDPGeneric:
		return []choice{{ModeGeneric, "configured"}}
	case config.DatapathTC:
		return []choice{tc("configured")}
	}
	switch {
	case foreign != "":
		return []choice{tc("%s stands at XDP", foreign)}
	case !slices.Contains(keepsOffloads, link.Driver):
		return []choice{tc("driver %q is not known to keep its receive offloads under native XDP", link.Driver)}
	case len(link.ReceiveOffloads) > 0:
		return []choice{tc("native XDP would switch off %s", strings.Join(link.ReceiveOffloads, " and "))}
	}
	return []choice{
		{ModeNative, fmt.Sprintf("driver %q keeps its receive offloads under native XDP", link.Driver)},
		tc("native XDP failed"),
	}
}
