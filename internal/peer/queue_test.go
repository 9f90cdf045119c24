package peer

import (
	"slices"
	"sync"
	"testing"
)

func TestFullQueueDropsTheOldest(t *testing.T) {
	q := NewQueue[int](3)
	for i := range 10 {
		q.Put(i)
	}
	var got []int
	for range 3 {
		got = append(got, <-q.C())
	}
	if !slices.Equal(got, []int{7, 8, 9}) || q.Dropped() != 7 {
		t.Errorf("got %v, dropped %d", got, q.Dropped())
	}
	select {
	case v := <-q.C():
		t.Errorf("one more: %d", v)
	default:
	}
}

func TestQueueLosesNothingUncounted(t *testing.T) {
	const writers, each = 4, 1000
	q := NewQueue[int](16)
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for i := range each {
				q.Put(i)
			}
		})
	}
	done, end := make(chan int), make(chan struct{})
	go func() {
		read := 0
		for {
			select {
			case <-q.C():
				read++
			case <-end:
				done <- read + len(q.C())
				return
			}
		}
	}()
	all.Wait()
	close(end)
	if read := <-done; uint64(read)+q.Dropped() != writers*each {
		t.Errorf("read %d, dropped %d of %d", read, q.Dropped(), writers*each)
	}
}

func TestQueueOfNothingHoldsOne(t *testing.T) {
	q := NewQueue[string](0)
	q.Put("a")
	q.Put("b")
	if got := <-q.C(); got != "b" {
		t.Error(got)
	}
}
