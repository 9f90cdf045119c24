package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

const watchEvery = time.Second

func (p *program) status() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell who is there, who owns what, and what is wrong",
		Long: `Tell who is there, who owns what, and what is wrong, as the daemon on this
host sees it. An asterisk marks this node. A node that is ill, or that has
weight 0 by order, takes part (serving) and owns nothing: its WEIGHT is 0.`,
		Example: `  rota status
  rota status --watch
  rota status --json |
    jq -r '.nodes[] | select(.state != "serving" or .weight == 0) | .name'`,
		Args: arguments(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			show := p.showStatus
			if asJSON {
				show = p.showStatusJSON
			}
			if watch {
				return p.watch(cmd.Context(), asJSON, show)
			}
			text, err := show(cmd.Context())
			if err == nil {
				_, err = io.WriteString(p.Stdout, text)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	cmd.Flags().BoolVar(&watch, "watch", false, "again every second, until interrupted")
	return cmd
}

func (p *program) showStatus(ctx context.Context) (string, error) {
	st, err := p.client().Status(ctx)
	if err != nil {
		return "", err
	}
	return statusText(st, p.style()), nil
}

func (p *program) showStatusJSON(ctx context.Context) (string, error) {
	raw, err := p.client().StatusJSON(ctx)
	if err != nil {
		return "", err
	}
	return indented(raw)
}

func indented(raw json.RawMessage) (string, error) {
	var b bytes.Buffer
	if err := json.Indent(&b, raw, "", "  "); err != nil {
		return "", fmt.Errorf("write JSON: %w", err)
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

// watch shows the status again and again. A daemon that goes away is told
// and waited for; one that is not there at first is an error.
func (p *program) watch(ctx context.Context, asJSON bool, show func(context.Context) (string, error)) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	screen := isTerminal(p.Stdout) && !asJSON
	for first := true; ; first = false {
		text, err := show(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && first:
			return err
		case err != nil && asJSON:
			fmt.Fprintln(p.Stderr, complaint(err))
			text = ""
		case err != nil:
			text = complaint(err) + "\n"
		}
		if err := p.draw(text, screen, first || asJSON); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// draw overwrites the screen without a flicker, or sets a blank line between
// what cannot be overwritten.
func (p *program) draw(text string, screen, first bool) error {
	switch {
	case screen:
		// Home; every line cleared to its end; the rest of the screen cleared.
		text = "\x1b[H" + strings.ReplaceAll(text, "\n", "\x1b[K\n") + "\x1b[J"
		if first {
			text = "\x1b[2J" + text
		}
	case !first:
		text = "\n" + text
	}
	_, err := io.WriteString(p.Stdout, text)
	return err
}
