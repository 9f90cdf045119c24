package lab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/lab/probe"
)

// blamed bounds the questions whose owner is looked for.
const blamed = 20

// blame adds to an error that tells of questions without an answer whose they were, if
// a node can tell. The demo's nodes have no check that would notice that their service
// is gone: it measures what a daemon costs by itself.
func (d *demo) blame(ctx context.Context, err error) error {
	var vain *probe.NoAnswerError
	if !errors.As(err, &vain) || len(vain.From) == 0 {
		return err
	}
	owners := d.ownersOf(ctx, vain)
	if owners == nil {
		return err
	}
	return fmt.Errorf("%w; %s should have answered: does the service on port %d work there? (the demo has no check that would notice; rota lab has one: ail NODE service)",
		err, strings.Join(owners, " and "), vain.To.Port())
}

// ownersOf are the nodes that own now what was asked in vain, by the word of one of them.
// It takes a second at most, when the demo has no more time too.
func (d *demo) ownersOf(ctx context.Context, vain *probe.NoAnswerError) []string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askPatience)
	defer cancel()
	healthy := d.healthy()
	if len(healthy) == 0 {
		return nil
	}
	dst := api.Endpoint{Addr: vain.To.Addr(), Port: vain.To.Port(), HasPort: true}
	owners := make(map[string]bool)
	for _, from := range vain.From[:min(len(vain.From), blamed)] {
		e, err := healthy[0].API().Explain(ctx, api.ExplainQuery{Src: api.Endpoint{Addr: from.Addr(), Port: from.Port(), HasPort: true}, Dst: dst})
		if err != nil || e.Owner == "" {
			return nil // what was not answered is told, whose it was is not known
		}
		owners[e.Owner] = true
	}
	return slices.Sorted(maps.Keys(owners))
}
