package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestTheMost that a file may have is taken, and one more is refused by name. That beats have
// room for it is tested in package wire.
func TestTheMost(t *testing.T) {
	file := func(pools, nameLength, addresses, buckets int) string {
		var b strings.Builder
		b.WriteString("cluster: web\ninterface: eth0\nkey_file: /etc/rota/key\npools:\n")
		for i := range pools {
			fmt.Fprintf(&b, "  - name: p%0*d\n    buckets: %d\n    addresses: [", nameLength-1, i, buckets)
			for a := range addresses {
				fmt.Fprintf(&b, "%s10.0.%d.%d", map[bool]string{true: ", "}[a > 0], i, a)
			}
			b.WriteString("]\n")
		}
		return b.String()
	}
	if c := mustParse(t, file(MaxPools, maxName, MaxAddresses/MaxPools, MaxAllBuckets/MaxPools)); len(c.Pools) != MaxPools {
		t.Errorf("%d pools", len(c.Pools))
	}
	for _, row := range []struct {
		what, text, want string
	}{
		{"a pool more", file(MaxPools+1, 4, 1, 64), "pools: has 65 pools; at most 64"},
		{"a letter more", file(1, maxName+1, 1, 64), "pools[0].name: "},
		{"an address more", file(1, 4, MaxAddresses+1, 64), "pools: hold 129 addresses together; at most 128"},
		{"buckets more", file(MaxPools, 4, 1, MaxAllBuckets/MaxPools+1), "pools: have 65600 buckets together; at most 65536"},
	} {
		if _, err := Parse("", []byte(row.text)); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", row.what, err, row.want)
		}
	}
}
