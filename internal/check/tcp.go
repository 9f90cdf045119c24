package check

import "context"

// tcp passes when a connection opens.
type tcp struct{ target string }

func (p tcp) probe(ctx context.Context) Outcome {
	conn, err := dial(ctx, "tcp", p.target)
	if err != nil {
		return failedBy(ctx, "connect to "+p.target, err)
	}
	_ = conn.Close() // it was reset; nothing is waited for
	return passed("connects")
}
