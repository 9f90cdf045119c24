package daemon

import (
	"testing"

	"github.com/rota-cluster/rota/internal/api"
)

func TestTheJournalKeepsTheNewest(t *testing.T) {
	j := newJournal()
	first, added := j.since(0)
	if len(first) != 0 {
		t.Fatalf("%d events in a new journal", len(first))
	}
	for i := range eventsKept + 10 {
		j.add(api.Event{Moved: i})
	}
	select {
	case <-added:
	default:
		t.Error("whoever waits is not told")
	}
	for _, c := range []struct {
		what          string
		since, oldest uint64
		count         int
	}{
		{"all that is kept", 0, 11, eventsKept},
		{"those after one that is kept", 100, 101, eventsKept - 90},
		{"the newest", eventsKept + 9, eventsKept + 10, 1},
		{"none", eventsKept + 10, 0, 0},
		{"all, for whoever has followed an earlier start", eventsKept + 500, 11, eventsKept},
	} {
		got, _ := j.since(c.since)
		if len(got) != c.count || c.count > 0 && (got[0].Seq != c.oldest || got[c.count-1].Seq != eventsKept+10) {
			t.Errorf("%s: %d events, want %d from %d", c.what, len(got), c.count, c.oldest)
		}
		for i, e := range got {
			if e.Seq != c.oldest+uint64(i) || e.Moved != int(e.Seq)-1 {
				t.Fatalf("%s: number %d is %+v", c.what, i, e)
			}
		}
	}
}
