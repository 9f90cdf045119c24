package config

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rota-cluster/rota/internal/flowhash"
)

func examplePool(t *testing.T) Pool {
	return mustParse(t, minimal).Pools[0]
}

// The MACs are what nodes of different versions must agree on: these values never change.
func TestClusterMAC(t *testing.T) {
	for _, row := range []struct{ name, mac, want, group string }{
		{"multicast", "multicast", "03:e9:c4:17:26:3a", ""},
		{"igmp", "igmp", "01:00:5e:41:c4:17", "239.193.196.23"},
		{"unicast", "unicast", "02:e9:c4:17:26:3a", ""},
		{"given", "03:00:5e:00:01:0a", "03:00:5e:00:01:0a", ""},
		{"given unicast", "02:00:5e:00:01:0a", "02:00:5e:00:01:0a", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			p := mustParse(t, minimal+"    mac: "+row.mac+"\n").Pools[0]
			if got := p.ClusterMAC("web").String(); got != row.want {
				t.Errorf("MAC %s, want %s", got, row.want)
			}
			group := ""
			if g := p.Group("web"); g.IsValid() {
				group = g.String()
			}
			if group != row.group {
				t.Errorf("group %q, want %q", group, row.group)
			}
			if p.MAC.String() != row.mac {
				t.Errorf("is written %s", p.MAC)
			}
			if unicast := p.MAC.Mode == MACUnicast; unicast != (p.ClusterMAC("web")[0]&1 == 0) {
				t.Errorf("mode %v", p.MAC.Mode)
			}
		})
	}
}

// RFC 1112 6.4, and no group that shares its MAC with 224.0.0.0/24.
func TestGroupsAreNotTheOnesThatSwitchesFlood(t *testing.T) {
	p := Pool{MAC: MAC{Mode: MACIGMP}}
	for i := range 1000 {
		cluster := fmt.Sprint("c", i)
		group, mac := p.Group(cluster).As4(), p.ClusterMAC(cluster)
		want := []byte{1, 0, 0x5e, group[1] & 0x7f, group[2], group[3]}
		if !bytes.Equal(mac, want) || bytes.HasPrefix(mac[3:], []byte{0, 0}) {
			t.Fatalf("group %v, MAC %s", group, mac)
		}
	}
}

func TestFingerprint(t *testing.T) {
	const seed = 7
	base := examplePool(t)
	base.Addresses = []netip.Addr{netip.MustParseAddr("192.0.2.10"), netip.MustParseAddr("192.0.2.11")}
	want := base.Fingerprint(seed)

	same := map[string]func(*Pool){
		"addresses in another order": func(p *Pool) { p.Addresses = []netip.Addr{p.Addresses[1], p.Addresses[0]} },
		"drain timeout":              func(p *Pool) { p.DrainTimeout = 0 },
		"checks":                     func(p *Pool) { p.Checks = []Check{{Name: "a"}} },
		"a prefix that does not count": func(p *Pool) {
			p.Prefix4 = 8
		},
	}
	for name, change := range same {
		p := base
		if change(&p); p.Fingerprint(seed) != want {
			t.Errorf("%s: nodes would not share", name)
		}
	}
	seen := map[uint64]string{want: "the base"}
	other := []struct {
		name   string
		change func(*Pool)
	}{
		{"name", func(p *Pool) { p.Name = "app" }},
		{"an address less", func(p *Pool) { p.Addresses = p.Addresses[:1] }},
		{"hash", func(p *Pool) { p.Hash = flowhash.SourceAddress }},
		{"network", func(p *Pool) { p.Hash = flowhash.SourceNetwork }},
		{"prefix4", func(p *Pool) { p.Hash, p.Prefix4 = flowhash.SourceNetwork, 8 }},
		{"prefix6", func(p *Pool) { p.Hash, p.Prefix6 = flowhash.SourceNetwork, 8 }},
		{"buckets", func(p *Pool) { p.Buckets = 2 }},
		{"MAC", func(p *Pool) { p.MAC.Mode = MACIGMP }},
		{"given MAC", func(p *Pool) { p.MAC.Given = []byte{3, 0, 0, 0, 0, 1} }},
	}
	for _, o := range other {
		p := base
		o.change(&p)
		f := p.Fingerprint(seed)
		if who, ok := seen[f]; ok {
			t.Errorf("%s is not told from %s", o.name, who)
		}
		seen[f] = o.name
	}
	if base.Fingerprint(seed+1) == want {
		t.Error("another seed is not noticed")
	}
}

func TestSeedFrom(t *testing.T) {
	p := examplePool(t)
	key := bytes.Repeat([]byte{1}, KeySize)
	if got := p.SeedFrom(key); got != flowhash.Seed(key, "web") {
		t.Errorf("seed %d is not the key's", got)
	}
	zero := uint32(0)
	p.Seed = &zero
	if got := p.SeedFrom(key); got != 0 {
		t.Errorf("seed: 0 means %d", got)
	}
	h := p.Hasher(0)
	if want := (flowhash.Hasher{Mode: flowhash.SourceAddressPort, Prefix4: 24, Prefix6: 64, Buckets: 4096}); h != want {
		t.Errorf("hasher %+v, want %+v", h, want)
	}
}

func TestKeys(t *testing.T) {
	line, err := GenerateKey(bytes.NewReader(bytes.Repeat([]byte{5}, KeySize)))
	if err != nil || strings.ContainsAny(line, "\r\n ") {
		t.Fatalf("%q, %v", line, err)
	}
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := LoadKey(path)
	if err != nil || !bytes.Equal(key, bytes.Repeat([]byte{5}, KeySize)) {
		t.Errorf("%v, %v", key, err)
	}
	if _, err := GenerateKey(strings.NewReader("short")); err == nil {
		t.Error("a key of five bytes")
	}
}

func TestKeyRefusals(t *testing.T) {
	b64 := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for _, row := range []struct {
		name, content string
		mode          os.FileMode
		want          string
	}{
		{"readable by all", b64(32), 0o644, "can be used by others (mode 0644); run: chmod 600 "},
		{"readable by the group", b64(32), 0o640, "can be used by others (mode 0640)"},
		{"empty", "", 0o600, "holds 0 bytes, not 32; make one with rota key generate"},
		{"short", b64(16), 0o600, "holds 16 bytes, not 32"},
		{"two lines", b64(32) + "\n" + b64(32), 0o600, "is not one line of base64"},
		{"broken over two lines", b64(32)[:20] + "\n" + b64(32)[20:], 0o600, "is not one line of base64"},
		{"not base64", "geheim!", 0o600, "is not one line of base64 as rota key generate prints it"},
		{"huge", strings.Repeat("A", 4096), 0o600, "is not one line of base64"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "key")
			if err := os.WriteFile(path, []byte(row.content), row.mode); err != nil {
				t.Fatal(err)
			}
			refused(t, path, row.want)
			if row.content != "" && strings.Contains(fmt.Sprint(LoadKey(path)), row.content) {
				t.Error("the message holds the secret")
			}
		})
	}
	t.Run("absent", func(t *testing.T) {
		refused(t, filepath.Join(t.TempDir(), "none"), "does not exist; copy it from another node, or for a new cluster: (umask 077; rota key generate > ")
	})
	t.Run("a folder", func(t *testing.T) { refused(t, t.TempDir(), "is not a regular file") })
	t.Run("a pipe that nobody writes", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "fifo")
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, path, "is not a regular file")
	})
}

func refused(t *testing.T, path, want string) {
	t.Helper()
	_, err := LoadKey(path)
	if err == nil || !strings.HasPrefix(err.Error(), "key file "+path+" ") || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
		t.Errorf("got %v, want %s", err, want)
	}
}
