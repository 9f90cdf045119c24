package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

func texts(events []Event) []string {
	var out []string
	for _, e := range events {
		out = append(out, fmt.Sprintf("%d %s", e.Seq, e.Text))
	}
	return out
}

func TestTheNewestEventsAreKept(t *testing.T) {
	l := NewEventLog(3)
	if got := l.Since(0); got != nil {
		t.Errorf("got %v of nothing", got)
	}
	for _, text := range []string{"a", "b", "c", "d"} {
		l.Add(Event{Text: text})
	}
	for _, row := range []struct {
		since uint64
		want  []string
	}{
		{0, []string{"2 b", "3 c", "4 d"}},
		{1, []string{"2 b", "3 c", "4 d"}},
		{3, []string{"4 d"}},
		{4, nil},
		{1 << 63, nil},
		{1<<64 - 1, nil},
	} {
		if got := texts(l.Since(row.since)); !reflect.DeepEqual(got, row.want) {
			t.Errorf("since %d: %v, want %v", row.since, got, row.want)
		}
	}
}

func TestFollowingEvents(t *testing.T) {
	f := &fake{events: NewEventLog(16)}
	c := NewClient(serve(t, f))
	f.events.Add(Event{Kind: "view-active", Text: "a"})
	f.events.Add(Event{Text: "b"})

	var got []Event
	collect := func(e Event) error { got = append(got, e); return nil }
	if err := c.Events(t.Context(), 1, false, collect); err != nil || !reflect.DeepEqual(texts(got), []string{"2 b"}) {
		t.Errorf("%v, %v", texts(got), err)
	}

	got = nil
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Events(ctx, 0, true, func(e Event) error {
		got = append(got, e)
		switch e.Seq {
		case 2: // what comes later is followed
			f.events.Add(Event{Text: "c"})
		case 3:
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || !reflect.DeepEqual(texts(got), []string{"1 a", "2 b", "3 c"}) {
		t.Errorf("%v, %v", texts(got), err)
	}
}
