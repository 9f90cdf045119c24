package turn

import (
	"context"
	"testing"
	"time"
)

func TestTurn(t *testing.T) {
	turn := New()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if turn.Take(over) {
		t.Error("had by one whose time was over, although it was free")
	}
	if !turn.Take(t.Context()) {
		t.Fatal("not had although it is free")
	}
	soon, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if turn.Take(soon) {
		t.Error("had by two")
	}
	next := make(chan bool)
	go func() { next <- turn.Take(t.Context()) }()
	turn.Give()
	if !<-next {
		t.Error("not had by the one who waited")
	}
}
