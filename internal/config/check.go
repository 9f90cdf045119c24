package config

import (
	"regexp"
	"time"
)

// Check is an active test of a service, bound to a pool.
type Check struct {
	Name              string
	Kind              string   // one of CheckKinds
	Target            []string // one word but for exec, which may have arguments
	Interval, Timeout time.Duration
	Rise, Fall        int // verdicts in a row that change the state, 1 … 100
	// WarnWeight is the percentage of the weight that is left while the check warns, 1 … 100.
	WarnWeight int
	// DependsOn are signs that explain a failure; DefaultCheckDependsOn unless given.
	DependsOn []string

	Status  []StatusRange  // http and https: what passes; 200-399 unless given, which browsers do not call errors
	Body    *regexp.Regexp // http and https: must be found in the first 64 KiB; nil for anything
	Headers []Header       // http and https: sent with the request
	// ServerName (https, tls, grpc) is sent, and must be in the certificate; "" for
	// the target's. CA is a file of certificates to trust in place of the host's.
	ServerName, CA string
	Days           int    // https, tls: warns when the certificate is good for fewer
	Server         string // dns: whom to ask, address and port
	Type           string // dns: one of DNSTypes
	Service        string // grpc: "" for the server as a whole
	Absent         bool   // file: passes while there is none
}

// StatusRange holds HTTP status codes, both ends included.
type StatusRange struct{ First, Last int }

// Header is a line of an HTTP request.
type Header struct{ Name, Value string }

// CheckKinds are the kinds of checks; each is also the key that holds the target.
var CheckKinds = []string{"agent", "dns", "exec", "file", "grpc", "http", "https", "process", "systemd", "tcp", "tls"}

// DNSTypes are the records that a dns check may ask for.
var DNSTypes = []string{"A", "AAAA", "CNAME", "MX", "NS", "PTR", "SOA", "SRV", "TXT"}

// What a check need not say.
const (
	DefaultCheckInterval   = 500 * time.Millisecond
	DefaultCheckTimeout    = 300 * time.Millisecond
	DefaultCheckRise       = 2
	DefaultCheckFall       = 2
	DefaultCheckWarnWeight = 100
	DefaultCheckDays       = 14
	DefaultCheckServer     = "127.0.0.1:53"
	DefaultCheckType       = "A"
)
