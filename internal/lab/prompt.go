package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// prompt takes commands from a person.
type prompt struct {
	lab    *Lab
	out    io.Writer
	unload func() error // ends the load, if there is one
}

// order is one of the prompt's commands.
type order struct {
	name, args, help string
	do               func(p *prompt, ctx context.Context, args []string) error
}

var errQuit = errors.New("quit")

func newPrompt(l *Lab, out io.Writer) *prompt { return &prompt{lab: l, out: out} }

// run obeys until ctx ends or somebody quits. The end of the input is neither.
func (p *prompt) run(ctx context.Context, in io.Reader) error {
	lines := make(chan string)
	go func() { // ends with the process at the latest: a read cannot be interrupted
		defer close(lines)
		for s := bufio.NewScanner(in); s.Scan(); {
			select {
			case lines <- s.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		fmt.Fprint(p.out, p.lab.Name()+"> ")
		select {
		case <-ctx.Done():
			fmt.Fprintln(p.out)
			return nil
		case line, more := <-lines:
			if !more {
				fmt.Fprintln(p.out, "(no more commands; interrupt ends the lab)")
				lines = nil
				continue
			}
			err := p.obey(ctx, strings.Fields(line))
			if errors.Is(err, errQuit) {
				return nil
			}
			if err != nil && ctx.Err() == nil {
				fmt.Fprintln(p.out, "error:", err)
			}
		}
	}
}

func (p *prompt) obey(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return nil
	}
	all := orders()
	i := slices.IndexFunc(all, func(o order) bool { return o.name == words[0] })
	if i < 0 {
		return fmt.Errorf("no command %q: help lists them", words[0])
	}
	return all[i].do(p, ctx, words[1:])
}

// toNodes does something to each of the nodes named, at least one.
func toNodes(do func(*Node) error) func(*prompt, context.Context, []string) error {
	return inTurn(func(n *Node, _ context.Context) error { return do(n) })
}

// inTurn is toNodes for what may take long, on one node after the other.
func inTurn(do func(*Node, context.Context) error) func(*prompt, context.Context, []string) error {
	return func(p *prompt, ctx context.Context, names []string) error {
		if len(names) == 0 {
			return errors.New("say which node, e.g. a")
		}
		for _, name := range names {
			n, err := p.lab.NodeNamed(name)
			if err != nil {
				return err
			}
			if err := do(n, ctx); err != nil {
				return err
			}
		}
		return nil
	}
}
