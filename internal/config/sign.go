package config

import (
	"time"

	"github.com/rota-cluster/rota/internal/health"
)

// SignKind is an early warning of the host, with what holds unless the file
// says otherwise.
type SignKind struct {
	Name string
	Unit string // of its values and thresholds, "" for a number of things
	Rule health.Rule
	// WarnWeight is the percentage of the weight that is left while it warns.
	WarnWeight int
	List       string // the key of the things that it looks at, e.g. paths; "" if it has none
	Items      []string
	Interval   time.Duration // between two looks
	DependsOn  []string      // signs that explain it
	// Shared: it looks at something outside. When all nodes see it, that is to blame.
	Shared bool
}

// A load moves some of a node's share, if it lasts; anything else that warns
// moves nothing, and is for a person to look at.
const (
	warnWeightLoad = 50
	warnWeightNone = 100
)

// signStay is how long a sign must have been good before it counts as over.
const signStay = 30 * time.Second

func load(name, unit string, warn float64, lasts time.Duration) SignKind {
	return SignKind{Name: name, Unit: unit, Interval: time.Second, WarnWeight: warnWeightLoad,
		Rule: health.Rule{Warn: health.At(warn), For: lasts, Slack: 0.2, Stay: signStay}}
}

func trouble(name, unit string, warn float64, interval time.Duration) SignKind {
	return SignKind{Name: name, Unit: unit, Interval: interval, WarnWeight: warnWeightNone,
		Rule: health.Rule{Warn: health.At(warn), Stay: signStay}}
}

func (k SignKind) leaves(at float64) SignKind {
	k.Rule.Leave = health.At(at)
	return k
}

// onlyLeaves: there is nothing to warn of before.
func (k SignKind) onlyLeaves() SignKind {
	k.Rule.Leave, k.Rule.Warn = k.Rule.Warn, health.Limit{}
	return k
}

// low: too little is bad.
func (k SignKind) low() SignKind {
	k.Rule.Low = true
	return k
}

func (k SignKind) of(list string, items ...string) SignKind {
	k.List, k.Items = list, append([]string{}, items...)
	return k
}

func (k SignKind) after(signs ...string) SignKind {
	k.DependsOn = signs
	return k
}

func (k SignKind) shared() SignKind {
	k.Shared = true
	return k
}

// SignKinds are all signs, in the order in which they are told.
func SignKinds() []SignKind {
	const s = time.Second
	disks := []string{"/", "/var", "/tmp"}
	return []SignKind{
		load("memory_pressure", "%", 10, 5*s).leaves(40),
		load("cpu_pressure", "%", 60, 30*s),
		load("io_pressure", "%", 40, 10*s),
		load("swap", "MiB/s", 10, 10*s).after("memory_pressure"),
		trouble("oom_kills", "", 1, s).after("memory_pressure"),
		trouble("disk_space", "%", 95, 5*s).of("paths", disks...),
		trouble("disk_inodes", "%", 95, 5*s).of("paths", disks...),
		trouble("read_only", "", 1, s).onlyLeaves().of("paths", "/").after("io_errors", "fs_errors"),
		trouble("io_errors", "", 1, s).leaves(3),
		trouble("fs_errors", "", 1, s).after("io_errors"),
		trouble("hung_tasks", "", 1, s).after("io_errors"),
		trouble("soft_lockups", "", 1, s),
		trouble("machine_checks", "", 1, s),
		trouble("memory_corrected", "/h", 10, 10*s),
		trouble("memory_uncorrected", "", 1, 10*s),
		trouble("disk_health", "", 1, 600*s),
		trouble("disk_wear", "%", 90, 600*s),
		load("temperature", "°C", 5, 10*s).low(),
		trouble("raid", "", 1, 10*s),
		trouble("link_flaps", "", 4, s),
		trouble("link_errors", "/min", 10, s).after("link_flaps"),
		load("conntrack", "%", 80, 0),
		load("file_descriptors", "%", 80, 0),
		trouble("clock_unsynchronised", "s", 600, 10*s),
		trouble("clock_stepped", "s", 1, s),
		trouble("gateway", "s", 3, s).after("link_flaps").shared(),
		trouble("hosts", "s", 3, s).of("hosts").after("gateway", "link_flaps").shared(),
		load("scheduling", "ms", 50, 5*s).after("memory_pressure", "cpu_pressure"),
		trouble("certificates", "d", 14, 60*s).low().of("files"),
		trouble("shutdown", "", 1, s).onlyLeaves(),
	}
}

// DefaultCheckDependsOn are the signs that explain a check that fails, unless
// the file says otherwise: a host without room, memory or disks serves nobody.
func DefaultCheckDependsOn() []string {
	return []string{"read_only", "io_errors", "disk_space", "disk_inodes", "memory_pressure", "oom_kills", "file_descriptors", "conntrack"}
}

// Sign is what the file says of a sign. What it does not say is nil or empty.
type Sign struct {
	Name        string
	Off         bool
	Warn, Leave *health.Limit // one without a value: never
	For, Stay   *time.Duration
	WarnWeight  int
	Items       []string
}

// SignInForce is a sign with what the file says of it.
type SignInForce struct {
	SignKind
	Off bool
}

// SignsInForce are all signs there are, in the order of SignKinds.
func (c *Config) SignsInForce() []SignInForce {
	var out []SignInForce
	for _, kind := range SignKinds() {
		in := SignInForce{SignKind: kind}
		for _, s := range c.Signs {
			if s.Name == kind.Name {
				in.apply(s)
			}
		}
		out = append(out, in)
	}
	return out
}

func (in *SignInForce) apply(s Sign) {
	in.Off = s.Off
	override(&in.Rule.Warn, s.Warn)
	override(&in.Rule.Leave, s.Leave)
	override(&in.Rule.For, s.For)
	override(&in.Rule.Stay, s.Stay)
	if s.WarnWeight > 0 {
		in.WarnWeight = s.WarnWeight
	}
	if s.Items != nil {
		in.Items = s.Items
	}
}

func override[T any](to *T, by *T) {
	if by != nil {
		*to = *by
	}
}
