package flowhash

import (
	"fmt"
	"strings"
)

// Mode says which parts of a packet choose its bucket. The values are also the
// datapath's and CLUSTERIP's (its hash modes 0 … 2 are Mode − 1).
type Mode uint8

const (
	// SourceNetwork takes the source address cut to a prefix.
	SourceNetwork Mode = iota
	// SourceAddress is CLUSTERIP's sourceip.
	SourceAddress
	// SourceAddressPort is CLUSTERIP's sourceip-sourceport.
	SourceAddressPort
	// SourceAddressPortDestinationPort is CLUSTERIP's sourceip-sourceport-destport.
	SourceAddressPortDestinationPort
)

var modeNames = [...]string{
	"source-network", "source-address", "source-address-port", "source-address-port-destination-port",
}

// String is the mode's spelling in the configuration, without a prefix length.
func (m Mode) String() string {
	if int(m) < len(modeNames) {
		return modeNames[m]
	}
	return "unknown"
}

// ParseMode reads a mode's spelling in the configuration, without a prefix length.
func ParseMode(s string) (Mode, error) {
	for m, name := range modeNames {
		if s == name {
			return Mode(m), nil
		}
	}
	return 0, fmt.Errorf("%q is not a hash mode; write one of %s", s, strings.Join(modeNames[:], ", "))
}

// UsesSourcePort tells whether the source port has a say.
func (m Mode) UsesSourcePort() bool { return m >= SourceAddressPort }

// UsesDestinationPort tells whether the destination port has a say.
func (m Mode) UsesDestinationPort() bool { return m == SourceAddressPortDestinationPort }
