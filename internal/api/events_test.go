package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
)

func TestFollowingEvents(t *testing.T) {
	f := &fake{}
	c := NewClient(serve(t, f))
	f.happen("a")
	f.happen("b")

	var got []string
	collect := func(e Event) error { got = append(got, fmt.Sprintf("%d %s", e.Seq, e.Text)); return nil }
	if err := c.Events(t.Context(), 1, false, collect); err != nil || !reflect.DeepEqual(got, []string{"2 b"}) {
		t.Errorf("%v, %v", got, err)
	}

	got = nil
	ctx, cancel := context.WithCancel(t.Context())
	err := c.Events(ctx, 0, true, func(e Event) error {
		switch e.Seq {
		case 2: // what comes later is followed
			f.happen("c")
		case 3:
			cancel()
		}
		return collect(e)
	})
	if !errors.Is(err, context.Canceled) || !reflect.DeepEqual(got, []string{"1 a", "2 b", "3 c"}) {
		t.Errorf("%v, %v", got, err)
	}
}
