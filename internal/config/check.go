package config

import "time"

// Check is an active test of a service, bound to a pool.
type Check struct {
	Name              string
	Kind              string   // one of CheckKinds
	Target            []string // one word but for exec, which may have arguments
	Interval, Timeout time.Duration
	Rise, Fall        int // verdicts in a row that change the state, 1 … 100
}

// CheckKinds are the checks that the design knows; each is also the key that holds the target.
var CheckKinds = []string{"agent", "dns", "exec", "file", "grpc", "http", "https", "process", "systemd", "tcp", "tls"}

// What a check need not say.
const (
	DefaultCheckInterval = 500 * time.Millisecond
	DefaultCheckTimeout  = 300 * time.Millisecond
	DefaultCheckRise     = 2
	DefaultCheckFall     = 2
)

// Sign is an early warning of the host with the user's thresholds.
type Sign struct {
	Name        string
	Off         bool
	Warn, Leave string        // as written, "" for the sign's own
	For         time.Duration // 0 for the sign's own
}
