package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rota-cluster/rota/internal/flowhash"
)

// HashText is the spelling in the file, with the prefix lengths where they count.
func (p Pool) HashText() string {
	if p.Hash != flowhash.SourceNetwork {
		return p.Hash.String()
	}
	return fmt.Sprintf("%s/%d/%d", p.Hash, p.Prefix4, p.Prefix6)
}

// setHash reads a hash mode. source-network may be followed by the prefix
// length for IPv4, and that by the one for IPv6: source-network/26/56.
func (p *Pool) setHash(s string) error {
	name, prefixes, cut := strings.Cut(s, "/")
	mode, err := flowhash.ParseMode(name)
	if err != nil {
		return fmt.Errorf("%q is not a hash mode; write source-network, source-address, source-address-port or source-address-port-destination-port", s)
	}
	p.Hash = mode
	if !cut {
		return nil
	}
	if mode != flowhash.SourceNetwork {
		return fmt.Errorf("only source-network takes a prefix length; write %s", mode)
	}
	four, six, both := strings.Cut(prefixes, "/")
	if p.Prefix4, err = prefixLength(four, 32); err != nil {
		return err
	}
	if both {
		p.Prefix6, err = prefixLength(six, 128)
	}
	return err
}

func prefixLength(s string, bits int) (uint8, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > bits || s[0] == '+' {
		return 0, fmt.Errorf("%q is not a prefix length from 1 to %d; write source-network/24 for IPv4, source-network/24/64 to set IPv6 too", s, bits)
	}
	return uint8(n), nil
}
