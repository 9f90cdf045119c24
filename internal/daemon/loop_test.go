package daemon

import (
	"context"
	"errors"
	"testing"
)

func TestALoopThatHasEndedAnswersAtOnce(t *testing.T) {
	l := &loop{orders: make(chan func() error), done: make(chan struct{})}
	close(l.done)
	err := l.ask(context.Background(), func() error { t.Error("runs although nobody may"); return nil })
	if !errors.Is(err, errStopping) {
		t.Errorf("got %v", err)
	}
}
