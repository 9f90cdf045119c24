package sim

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rota-cluster/rota/internal/ownership"
)

// Parse reads a scenario:
//
//	# What the story shows.
//	nodes a b c
//	node c is named a          (another host with a's name)
//	node a weighs 50
//	node a priority 200        (in single pools; else 100)
//	node a clock +5000ppm 3h   (gains 5 ms a second, reads 3h at the start)
//	pool web 24                (buckets)
//	pool db 8 single           (one node has it all; or: single stays, without preemption)
//	beat 50ms 300ms            (interval, lease)
//	majority 3                 (expected nodes)
//	network 200µs 500µs        (least and greatest delay)
//	loss 1%
//	second 1ms                 (a second path, and how long it takes; or: unicast 1ms)
//	healthy b c                (nothing may disturb these)
//	settle                     (after the last line, all must agree)
//	stays                      (nodes drain by orders to them alone, and never all)
//	seed 7
//
//	0s      start a b c
//	2s      cut a-b b>c        (both directions, one direction)
//	3s      freeze a after 2   (in the middle of the effects of a step)
//	4s      pin a b web:0-3,7  (at a: these buckets belong to b; unpin takes that off)
//	5s      order a b drain    (at a, for b; or: force, resume, weight 50)
//	6s      end
//
// For the verbs see Verb. `cut second a-b` is about the second path's links.
// `mend` alone mends all of both. Lists of links have shapes: `split a b | c d` cuts
// what joins the two sides, `chain a b c`, `ring a b c` and `hub a b c` leave
// only the links of the shape.
func Parse(text string) (*Scenario, error) {
	s := &Scenario{Interval: 50 * time.Millisecond, Lease: 300 * time.Millisecond}
	var title []string
	for i, line := range strings.Split(text, "\n") {
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			if len(s.Nodes) == 0 {
				title = append(title, strings.TrimSpace(comment))
			}
			continue
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := s.parseLine(words); err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", i+1, line, err)
		}
	}
	s.Title = strings.Join(title, "\n")
	slices.SortFunc(s.Pools, func(a, b Pool) int { return strings.Compare(a.Name, b.Name) })
	if len(s.Nodes) == 0 || len(s.Pools) == 0 || s.End == 0 {
		return nil, fmt.Errorf("a scenario needs nodes, a pool and an end")
	}
	return s, nil
}

func (s *Scenario) parseLine(words []string) error {
	if at, err := time.ParseDuration(words[0]); err == nil {
		if len(words) < 2 {
			return fmt.Errorf("nothing happens")
		}
		if n := len(s.Ops); n > 0 && at < s.Ops[n-1].At {
			return fmt.Errorf("goes back in time")
		}
		if words[1] == "end" {
			s.End = at
			return nil
		}
		return s.parseOp(at, words[1], words[2:])
	}
	switch rest := words[1:]; words[0] {
	case "nodes":
		return s.parseNodes(rest)
	case "node":
		return s.parseNode(rest)
	case "planned":
		s.Planned = true
	case "stays":
		s.Stays = true
	case "quiet":
		s.Quiet = true
	case "settle":
		s.Settle = true
	case "healthy":
		nodes, err := s.parseLabels(rest)
		for _, n := range nodes {
			s.Healthy |= 1 << n
		}
		return err
	default:
		return s.parseSetting(words[0], rest)
	}
	return nil
}

func (s *Scenario) parseNodes(labels []string) error {
	if len(labels) > MaxNodes {
		return fmt.Errorf("at most %d nodes", MaxNodes)
	}
	for _, label := range labels {
		s.Nodes = append(s.Nodes, Node{Label: label, Name: label, Weight: 100, Priority: defaultPriority})
	}
	return nil
}

func (s *Scenario) parseNode(words []string) error {
	if len(words) < 3 {
		return fmt.Errorf("write: node LABEL is named NAME, node LABEL weighs N, node LABEL priority N, node LABEL clock +Nppm ORIGIN")
	}
	i, err := s.node(words[0])
	if err != nil {
		return err
	}
	n := &s.Nodes[i]
	switch words[1] {
	case "is":
		n.Name = words[len(words)-1]
	case "weighs":
		weight, err := strconv.ParseUint(words[2], 10, 10)
		n.Weight = uint16(weight)
		return err
	case "priority":
		priority, err := strconv.ParseUint(words[2], 10, 10)
		n.Priority = uint16(priority)
		return err
	case "clock":
		if n.PPM, err = strconv.ParseInt(strings.TrimSuffix(words[2], "ppm"), 10, 32); err == nil && len(words) > 3 {
			n.Origin, err = time.ParseDuration(words[3])
		}
		return err
	default:
		return fmt.Errorf("a node is not known to %q", words[1])
	}
	return nil
}

func (s *Scenario) parseSetting(word string, rest []string) (err error) {
	if len(rest) == 0 {
		return fmt.Errorf("%s what?", word)
	}
	switch word {
	case "pool":
		return s.parsePool(rest)
	case "beat":
		s.Interval, s.Lease, err = parseSpans(rest)
	case "network":
		var upto time.Duration
		s.Delay, upto, err = parseSpans(rest)
		s.Jitter = upto - s.Delay
	case "majority":
		s.Quorum = ownership.QuorumMajority
		s.Expected, err = strconv.Atoi(rest[0])
	case "loss":
		s.Loss, err = parsePercent(rest[0])
	case "copies":
		s.Copies, err = parsePercent(rest[0])
	case "second", "unicast":
		s.Unicast = word == "unicast"
		s.Second, err = time.ParseDuration(rest[0])
	case "seed":
		s.Seed, err = strconv.ParseUint(rest[0], 10, 64)
	default:
		return fmt.Errorf("%q is not a word of the preamble", word)
	}
	return err
}

const defaultPriority = 100

func (s *Scenario) parsePool(words []string) error {
	if len(words) < 2 || len(words) > 4 {
		return fmt.Errorf("write: pool NAME BUCKETS, pool NAME BUCKETS single, pool NAME BUCKETS single stays")
	}
	buckets, err := strconv.ParseUint(words[1], 10, 16)
	p := Pool{Name: words[0], Buckets: uint32(buckets)}
	switch how := strings.Join(words[2:], " "); how {
	case "":
	case "single":
		p.Single, p.Preempt = true, true
	case "single stays":
		p.Single = true
	default:
		return fmt.Errorf("a pool is not known to be %q", how)
	}
	s.Pools = append(s.Pools, p)
	return err
}

func parseSpans(words []string) (a, b time.Duration, err error) {
	if len(words) != 2 {
		return 0, 0, fmt.Errorf("needs two times")
	}
	if a, err = time.ParseDuration(words[0]); err == nil {
		b, err = time.ParseDuration(words[1])
	}
	if err == nil && b < a {
		err = fmt.Errorf("%v is less than %v", b, a)
	}
	return a, b, err
}

func parsePercent(word string) (permille int, err error) {
	p, err := strconv.ParseFloat(strings.TrimSuffix(word, "%"), 64)
	if err != nil || p < 0 || p > 100 {
		return 0, fmt.Errorf("%q is not a percentage", word)
	}
	return int(math.Round(p * 10)), nil
}

func (s *Scenario) node(label string) (int, error) {
	i := slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Label == label })
	if i < 0 {
		return 0, fmt.Errorf("there is no node %q", label)
	}
	return i, nil
}

func (s *Scenario) parseLabels(words []string) ([]int, error) {
	var nodes []int
	for _, word := range words {
		i, err := s.node(word)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, i)
	}
	return nodes, nil
}
