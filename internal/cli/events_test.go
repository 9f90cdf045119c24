package cli

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rota-cluster/rota/internal/api"
)

func happened(texts ...string) (all []api.Event) {
	for i, text := range texts {
		all = append(all, api.Event{
			Seq: uint64(i + 1), Time: noon.Add(time.Duration(i) * 1500 * time.Millisecond), Kind: "view-active", Node: "node-a", Text: text,
		})
	}
	return all
}

func TestEvents(t *testing.T) {
	threshold := 95.0
	f := &fake{events: happened("view 2: with node-b", "disk_space: warn, was ok: /var: 96.0 % of the space in use (warn at 95%)")}
	f.events[0].Moved = -2048
	f.events[1].Kind, f.events[1].Finding = "sign", &api.Finding{Name: "disk_space", Level: "warn", Value: 96, Threshold: &threshold, Unit: "%"}
	socket := f.serve(t)
	want := `2026-03-01 12:00:00.000 node-a view-active: view 2: with node-b (-2048 buckets)
2026-03-01 12:00:01.500 node-a sign: disk_space: warn, was ok: /var: 96.0 % of the space in use (warn at 95%)
`
	if got := run(t, "events", "--socket", socket); got != (result{0, want, ""}) {
		t.Errorf("%+v", got)
	}
	got := run(t, "events", "--json", "--socket", socket)
	lines := strings.Split(strings.TrimSuffix(got.out, "\n"), "\n")
	var e api.Event
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &e); err != nil || len(lines) != 2 || e.Finding.Value != 96 || *e.Finding.Threshold != 95 {
		t.Errorf("%+v, %v", got, err)
	}
	if got := run(t, "events", "--follow", "--socket", socket+"x"); got.code != 1 || !strings.Contains(got.errors, "no rota daemon has its socket") {
		t.Errorf("%+v", got)
	}
}

// Whoever follows is told all of it once, whatever becomes of the daemon.
func TestFollow(t *testing.T) {
	for _, row := range []struct {
		name string
		then []api.Event // of the daemon that comes next
		want string
	}{
		{"a restart, over which the events are kept", happened("a", "b", "c", "d", "e"), "a b c d e"},
		{"another start, with as many events", happened("A", "B", "C"), "a b c A B C"},
		{"another start, with more", happened("A", "B", "C", "D"), "a b c A B C D"},
		{"another start, with fewer", happened("A"), "a b c A"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if row.then[0].Text == "A" {
				for i := range row.then {
					row.then[i].Time = row.then[i].Time.Add(time.Hour)
				}
			}
			f := &fake{events: happened("a", "b", "c"), more: make(chan struct{})}
			path := t.TempDir() + "/rota.sock"
			stop := startOn(t, f, path)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			next := make(chan func(), 1)
			out := &heard{until: map[string]func(){
				"c": func() {
					go func() { // the answer that is being written is part of what stops
						stop()
						f.mu.Lock()
						f.events = row.then
						f.mu.Unlock()
						next <- startOn(t, f, path)
					}()
				},
				row.then[len(row.then)-1].Text: cancel,
			}}
			var errs strings.Builder
			env := Env{Stdin: strings.NewReader(""), Stdout: out, Stderr: &errs, Getenv: func(string) string { return "" }}
			code := Main(ctx, env, []string{"events", "--follow", "--socket", path})
			if got := strings.Join(out.texts, " "); code != 0 || got != row.want || strings.Count(errs.String(), "\n") != 1 {
				t.Errorf("exit %d, heard %q, want %q, and one complaint: %q", code, got, row.want, errs.String())
			}
			(<-next)()
		})
	}
}

// startOn serves on a socket until stop is called.
func startOn(t *testing.T, f *fake, path string) (stop func()) {
	t.Helper()
	l, err := api.Listen(path)
	if err != nil {
		t.Error(err)
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- api.NewServer(f, slog.New(slog.DiscardHandler)).Run(ctx, l) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// heard collects the texts of events, and does something at some of them.
type heard struct {
	texts []string
	until map[string]func()
}

func (h *heard) Write(b []byte) (int, error) {
	_, text, _ := strings.Cut(strings.TrimSpace(string(b)), "view-active: ")
	h.texts = append(h.texts, text)
	if do := h.until[text]; do != nil {
		delete(h.until, text)
		do()
	}
	return len(b), nil
}
