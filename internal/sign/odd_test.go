package sign

import (
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// What the kernel would never write is no value, above all not a good one.
func TestNonsenseIsNoValue(t *testing.T) {
	for file, odd := range map[string]struct {
		sign  string
		texts []string
	}{
		"pressure/memory": {"memory_pressure", []string{
			"", "full", "full avg10=NaN avg60=0\n", "full avg10=-3.00\n", "full avg10=1e300\n", "full avg10=1e400\n", "some avg10=1.00\n", "\x00\xff",
		}},
		"vmstat":                             {"oom_kills", []string{"", "\x00\xff", "oom_kill", "oom_kill -1\n", "oom_kill 99999999999999999999\n"}},
		"uptime":                             {"io_errors", []string{"", "NaN 1\n", "-7.0 1\n", "1e300 1\n", "Inf 1\n"}},
		"class/hwmon/hwmon0/temp1_crit":      {"temperature", []string{"", "hot", "99999999999999999999999"}},
		"class/hwmon/hwmon0/temp1_input":     {"temperature", []string{"", "hot"}},
		"block/mmcblk0/device/life_time":     {"disk_wear", []string{"", "\n", "0x01 much\n", "-1 1\n", "0x1ff 0x01\n"}},
		"block/mmcblk0/device/pre_eol_info":  {"disk_health", []string{"", "soon", "-1"}},
		"sys/net/netfilter/nf_conntrack_max": {"conntrack", []string{"", "-1", "\xff"}},
		"block/md0/md/degraded":              {"raid", []string{"", "-1"}},
	} {
		for _, text := range odd.texts {
			got := ofFiles(t, odd.sign, map[string]string{file: text})
			if got.Answer != health.Broken {
				t.Errorf("%s with %q in %s: %v %v %q", odd.sign, text, file, got.Answer, got.Value, got.Text)
			}
		}
	}
	expect(t, "below zero", ofFiles(t, "temperature", map[string]string{"class/hwmon/hwmon0/temp1_input": "-5000\n"}), health.Measured, 105, "-5 °C")
	expect(t, "wear is not defined", ofFiles(t, "disk_wear", map[string]string{"block/mmcblk0/device/life_time": "0x00 0x00\n"}), health.CannotTell, 0, "")
}

// ofFiles is what a sign says of a host that is well but for some files.
func ofFiles(t *testing.T, name string, files map[string]string) health.Reading {
	t.Helper()
	root := t.TempDir()
	write := writer(t, root)
	for file, text := range map[string]string{
		"pressure/memory": "full avg10=1.00 avg60=0.00\n", "vmstat": "oom_kill 0\n", "uptime": "100.00 1.00\n", "kmsg": "",
		"class/hwmon/hwmon0/temp1_crit": "100000\n", "class/hwmon/hwmon0/temp1_input": "20000\n",
		"block/mmcblk0/device/life_time": "0x01 0x01\n", "block/mmcblk0/device/pre_eol_info": "0x01\n",
		"sys/net/netfilter/nf_conntrack_count": "1\n", "sys/net/netfilter/nf_conntrack_max": "100\n", "block/md0/md/degraded": "0\n",
	} {
		write(file, text)
	}
	for file, text := range files {
		write(file, text)
	}
	var got health.Reading
	for _, s := range new(config.Config).SignsInForce() {
		if s.Name == name {
			w := New([]config.SignInForce{s}, Env{Roots: Roots{Proc: root, Sys: root, Dev: root}, Now: time.Now}, func(r Report) { got = r.Reading })
			w.Once(t.Context())
		}
	}
	return got
}
