package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/api"
)

func (p *program) explain() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain SRC[:PORT] DST[:PORT]",
		Short: "Tell which node answers a client, and why",
		Long: `Tell which node answers a client: the bucket of its packets, the bucket's owner,
and why that one. SRC is the client, DST a shared address. A port is needed
where the pool's hash uses it. IPv6 with a port is written [2001:db8::7]:40000.`,
		Example: `  rota explain 198.51.100.7:40000 192.0.2.10:443
  rota explain [2001:db8::7]:40000 2001:db8::10
  rota explain --json 198.51.100.7:40000 192.0.2.10 | jq -r .owner`,
		Args: arguments("SRC[:PORT]", "DST[:PORT]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			src, err := api.ParseEndpoint(args[0])
			if err != nil {
				return fmt.Errorf("SRC: %w", err)
			}
			dst, err := api.ParseEndpoint(args[1])
			if err != nil {
				return fmt.Errorf("DST: %w", err)
			}
			q := api.ExplainQuery{Src: src, Dst: dst}
			var text string
			if asJSON {
				raw, err := p.client().ExplainJSON(cmd.Context(), q)
				if err != nil {
					return err
				}
				if text, err = indented(raw); err != nil {
					return err
				}
			} else {
				e, err := p.client().Explain(cmd.Context(), q)
				if err != nil {
					return err
				}
				text = explainText(e, p.style())
			}
			_, err = io.WriteString(p.Stdout, text)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func explainText(e *api.Explanation, s style) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s -> %s\n", e.Source, e.Destination)
	fmt.Fprintf(&b, "pool %s, by %s: bucket %d of %d\n", e.Pool, e.Hash, e.Bucket, e.Buckets)
	if e.Owner == "" {
		b.WriteString(s.paint(bad, "no node accepts it at the moment") + "\n")
	} else {
		fmt.Fprintf(&b, "new connections: %s\n", s.paint(bold, e.Owner))
	}
	if len(e.Lingering) > 0 {
		b.WriteString(wrap("older connections may still be with ", "  ", e.Lingering))
	}
	if e.Why != "" {
		b.WriteString(wrap("why: ", "  ", strings.Fields(e.Why)))
	}
	if what, ok := hereMeaning[e.Here]; ok {
		fmt.Fprintf(&b, "here on %s: %s, %s\n", e.Node, e.Here, what)
	}
	if !e.Agreed {
		b.WriteString(s.paint(warn, "! the nodes have not agreed on their view yet; this may change") + "\n")
	}
	return b.String()
}

// hereMeaning is what the datapath does in each state of a bucket.
var hereMeaning = map[string]string{
	"foreign":   "its packets are dropped",
	"mine":      "its packets pass",
	"lingering": "only packets of open connections pass",
	"contested": "new connections and those open here pass",
}
