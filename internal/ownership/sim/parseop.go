package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Scenario) parseOp(at time.Duration, word string, args []string) error {
	op := Op{At: at, After: -1}
	verb := slices.Index(verbNames[:], word)
	switch {
	case verb >= 0:
		op.Verb = Verb(verb)
	case word == "split" || word == "chain" || word == "ring" || word == "hub":
		op.Verb = Cut
		links, err := s.parseShape(word, args)
		op.Links = links
		s.Ops = append(s.Ops, op)
		return err
	default:
		return fmt.Errorf("nobody knows how to %q", word)
	}
	for i := 0; i < len(args); i++ {
		if err := s.parseArg(&op, args, &i); err != nil {
			return err
		}
	}
	if op.Second && op.Verb != Cut && op.Verb != Mend && op.Verb != Loss && op.Verb != Delay {
		return fmt.Errorf("a second path cannot %s", word)
	}
	s.Ops = append(s.Ops, op)
	return nil
}

// parseArg reads the i-th word after a verb, and what belongs to it.
func (s *Scenario) parseArg(op *Op, args []string, i *int) (err error) {
	word := args[*i]
	next := func() (int, error) {
		if *i++; *i == len(args) {
			return 0, fmt.Errorf("%s what?", word)
		}
		return strconv.Atoi(args[*i])
	}
	if known, err := s.parseOrder(op, args, i); known || err != nil {
		return err
	}
	switch {
	case word == "second":
		op.Second = true
	case word == "after":
		op.After, err = next()
	case word == "config":
		op.Amount, err = next()
	case strings.ContainsAny(word, ">-"):
		return s.parseLink(op, word)
	case strings.Contains(word, ":"):
		return s.parseCount(op, word)
	case strings.HasSuffix(word, "%"):
		op.Amount, err = parsePercent(word)
	case op.Verb == Have || op.Verb == Lose:
		return s.parsePoolOf(op, word)
	case isNumber(word) && op.Verb == Weight:
		op.Amount, err = strconv.Atoi(word)
	case isNumber(word):
		return s.parseSpan(op, word)
	default:
		n, err := s.node(word)
		op.Nodes = append(op.Nodes, n)
		return err
	}
	return err
}

// parsePoolOf reads, after the nodes, which pool.
func (s *Scenario) parsePoolOf(op *Op, word string) error {
	if i := slices.IndexFunc(s.Pools, func(p Pool) bool { return p.Name == word }); i >= 0 {
		op.Amount = i
		return nil
	}
	n, err := s.node(word)
	op.Nodes = append(op.Nodes, n)
	return err
}

func isNumber(word string) bool { return word[0] >= '0' && word[0] <= '9' }

func (s *Scenario) parseSpan(op *Op, word string) error {
	d, err := time.ParseDuration(word)
	if err != nil {
		return fmt.Errorf("%q is not a time", word)
	}
	if (op.Verb == Delay || op.Verb == Beat) && op.Span != 0 {
		op.Upto = d
		return nil
	}
	op.Span, op.Upto = d, d
	return nil
}

func (s *Scenario) parseLink(op *Op, word string) error {
	from, to, oneWay := strings.Cut(word, ">")
	if !oneWay {
		from, to, _ = strings.Cut(word, "-")
	}
	ends, err := s.parseLabels([]string{from, to})
	if err != nil {
		return err
	}
	op.Links = append(op.Links, Link{ends[0], ends[1]})
	if !oneWay {
		op.Links = append(op.Links, Link{ends[1], ends[0]})
	}
	return nil
}

func (s *Scenario) parseCount(op *Op, word string) error {
	label, number, _ := strings.Cut(word, ":")
	n, err := s.node(label)
	if err != nil {
		return err
	}
	if op.Counts == nil {
		op.Counts = make([]int, len(s.Nodes))
	}
	op.Counts[n], err = strconv.Atoi(number)
	return err
}

// parseShape lists the links to cut so that the shape remains.
func (s *Scenario) parseShape(shape string, args []string) ([]Link, error) {
	var groups [][]int
	group := []string{}
	for _, word := range append(args, "|") {
		if word != "|" {
			group = append(group, word)
			continue
		}
		nodes, err := s.parseLabels(group)
		if err != nil {
			return nil, err
		}
		groups, group = append(groups, nodes), nil
	}
	if shape == "split" {
		return splitLinks(groups), nil
	}
	return shapeLinks(shape, groups[0]), nil
}

// splitLinks are those between different groups.
func splitLinks(groups [][]int) []Link {
	var cut []Link
	for i, g := range groups {
		for _, h := range groups[i+1:] {
			for _, a := range g {
				for _, b := range h {
					cut = append(cut, Link{a, b}, Link{b, a})
				}
			}
		}
	}
	return cut
}

// shapeLinks are those among the nodes that a chain, ring or hub lacks.
func shapeLinks(shape string, nodes []int) []Link {
	var cut []Link
	for i, a := range nodes {
		for j, b := range nodes[i+1:] {
			apart := j + 1
			keep := apart == 1 || shape == "ring" && apart == len(nodes)-1
			if shape == "hub" {
				keep = i == 0
			}
			if !keep {
				cut = append(cut, Link{a, b}, Link{b, a})
			}
		}
	}
	return cut
}
