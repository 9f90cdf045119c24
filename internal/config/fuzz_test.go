package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// FuzzParse: whatever the text, an answer; a right one is within the bounds, a
// wrong one has a place and fits a line.
func FuzzParse(f *testing.F) {
	f.Add(string(Example()))
	f.Add(everything())
	f.Add(minimal)
	f.Add("a: &x [*x]\n")
	f.Add("? [a]\n: b\n")
	f.Add("\"\\n\": 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("f", []byte(text))
		if err != nil {
			var es Errors
			if !errors.As(err, &es) || len(es) == 0 || c != nil {
				t.Fatalf("%#v", err)
			}
			for _, e := range es {
				if line := e.Error(); strings.ContainsAny(line, "\n\r") || !strings.HasPrefix(line, "f:") {
					t.Errorf("not one line: %q", line)
				}
			}
			if n := strings.Count(err.Error(), "\n"); n >= maxLines {
				t.Errorf("%d lines", n+1)
			}
			return
		}
		if again, err := Parse("f", []byte(text)); err != nil || !reflect.DeepEqual(c, again) {
			t.Errorf("two readings of one file: %+v, then %+v, %v", c, again, err)
		}
		if validName(c.Cluster) != nil || c.Interface == "" || c.KeyFile == "" || len(c.Pools) < 1 || len(c.Pools) > MaxPools ||
			c.Heartbeat.Lease < MinLeaseIntervals*c.Heartbeat.Interval || c.Node.Weight > MaxWeight {
			t.Errorf("out of bounds: %+v", c)
		}
		for _, p := range c.Pools {
			if validName(p.Name) != nil || len(p.Addresses) == 0 || p.Buckets < MinBuckets || p.Buckets > MaxBuckets ||
				p.Prefix4 < 1 || p.Prefix4 > 32 || p.Prefix6 < 1 || p.Prefix6 > 128 || len(p.ClusterMAC(c.Cluster)) != 6 {
				t.Errorf("out of bounds: %+v", p)
			}
		}
	})
}
