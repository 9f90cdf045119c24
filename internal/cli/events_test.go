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

func TestEventsAreChosen(t *testing.T) {
	f := &fake{events: happened("a", "b", "c", "d"), more: make(chan struct{})}
	f.events[1].Kind, f.events[2].Kind = "sign", "check"
	socket := f.serve(t)
	at := func(i int) string { return f.events[i].Time.Local().Format(time.DateTime) }
	for _, row := range []struct {
		name, args, want, errors string
	}{
		{"the newest", "-n 2", "c d", ""},
		{"more than there are", "--newest 9", "a b c d", ""},
		{"of one kind", "--kind sign", "b", ""},
		{"of two kinds", "--kind sign,check", "b c", ""},
		{"the newest of two kinds", "--kind sign --kind check -n 1", "c", ""},
		{"since a time", "--since " + strings.Replace(at(2), " ", "T", 1) + f.events[2].Time.Local().Format("Z07:00"), "c d", ""},
		{"of a kind that nothing is of", "--kind drian", "", "rota: no event of the kind drian is kept; there are some of check, sign, view-active\n"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got := run(t, append(strings.Fields("events --socket "+socket), strings.Fields(row.args)...)...)
			var texts []string
			for line := range strings.Lines(got.out) {
				texts = append(texts, strings.TrimSpace(line[strings.LastIndex(line, " "):]))
			}
			if s := strings.Join(texts, " "); got.code != 0 || s != row.want || got.errors != row.errors {
				t.Errorf("%q, want %q: %+v", s, row.want, got)
			}
		})
	}
	t.Run("the newest, and what comes", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := &heard{until: map[string]func(){
			"d": func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.events = append(f.events, happened("", "", "", "", "e")[4])
				close(f.more)
				f.more = make(chan struct{})
			},
			"e": cancel,
		}}
		env := Env{Stdin: strings.NewReader(""), Stdout: out, Stderr: &strings.Builder{}, Getenv: func(string) string { return "" }}
		code := Main(ctx, env, []string{"events", "--follow", "-n", "1", "--socket", socket})
		if got := strings.Join(out.texts, " "); code != 0 || got != "d e" {
			t.Errorf("exit %d, heard %q", code, got)
		}
	})
}

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 3, 2, 0, 10, 0, 0, time.UTC)
	for word, want := range map[string]time.Time{
		"10m":                       now.Add(-10 * time.Minute),
		"1h30m":                     now.Add(-90 * time.Minute),
		"00:05":                     now.Add(-5 * time.Minute),
		"23:50":                     now.Add(-20 * time.Minute), // of the day before
		"23:50:30":                  now.Add(-20*time.Minute + 30*time.Second),
		"2026-03-01":                time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
		"2026-03-01 12:00":          time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
		"2026-03-01 12:00:01.500":   time.Date(2026, 3, 1, 12, 0, 1, 5e8, time.UTC), // as the events have it
		"2026-03-01T12:00:00+01:00": time.Date(2026, 3, 1, 11, 0, 0, 0, time.UTC),
	} {
		if got, err := parseSince(word, now); err != nil || !got.Equal(want) {
			t.Errorf("%s: %v, %v; want %v", word, got, err, want)
		}
	}
	for _, word := range []string{"", "yesterday", "-10m", "10", "25:00"} {
		if got, err := parseSince(word, now); err == nil {
			t.Errorf("%q is read as %v", word, got)
		}
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
