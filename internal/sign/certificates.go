package sign

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"time"

	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/health"
)

// certificates is how many days the first certificate to expire in some files is good for.
type certificates struct {
	files []string
	now   func() time.Time
}

const day = 24 * time.Hour

func (c certificates) read() health.Reading {
	if len(c.files) == 0 {
		return health.Reading{Answer: health.SwitchedOff, Text: "no file is named"}
	}
	least := cannotTell("no file can be read")
	found := false
	var unread []error
	for _, file := range c.files {
		end, err := firstExpiry(file)
		if err != nil {
			unread = append(unread, err)
			continue
		}
		days := float64(end.Sub(c.now())) / float64(day)
		if !found || days < least.Value {
			least, found = measured(days, "%s is good until %s", file, end.UTC().Format(time.DateOnly)), true
		}
	}
	return beside(least, unread)
}

func firstExpiry(file string) (end time.Time, err error) {
	text, err := config.ReadFile(file)
	if err != nil {
		return end, err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return end, fmt.Errorf("%s: %w", file, err)
		}
		if end.IsZero() || c.NotAfter.Before(end) {
			end = c.NotAfter
		}
	}
	if end.IsZero() {
		return end, fmt.Errorf("%s holds no certificate in PEM", file)
	}
	return end, nil
}
