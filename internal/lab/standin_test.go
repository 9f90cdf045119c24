package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
)

// TestMain lets this program stand in for rota, so that the lab's own
// machinery can be tested without a cluster, and for a lab to be killed.
func TestMain(m *testing.M) {
	var err error
	switch args := append(os.Args, "", "", ""); args[1] {
	case "run":
		err = standIn(args[3])
	case "lab-to-kill":
		err = labToKill(args[2], args[3])
	default:
		os.Exit(m.Run())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stand-in:", err)
		os.Exit(1)
	}
}

const (
	failing = "LAB_TEST_STAND_IN_FAILS"
	pidName = "stand-in.pid"
)

// standIn finds that it agrees with whatever node of the lab is alive.
func standIn(configFile string) error {
	if os.Getenv(failing) != "" {
		return errors.New("cannot start: this is the reason")
	}
	c, err := config.Load(configFile)
	if err != nil {
		return err
	}
	if _, err := config.LoadKeys(c.KeyFile); err != nil {
		return err
	}
	pidFile := filepath.Join(filepath.Dir(c.API.Socket), pidName)
	if err := os.WriteFile(pidFile, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		return err
	}
	l, err := api.Listen(c.API.Socket)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return api.NewServer(backend{config: c}, slog.New(slog.DiscardHandler)).Run(ctx, l)
}

// backend of a stand-in knows nothing but its status.
type backend struct {
	api.Backend
	config *config.Config
}

func (b backend) Status() api.Status {
	c := b.config
	s := api.Status{Cluster: c.Cluster, Node: c.Node.Name, State: api.Serving}
	s.View = api.View{ID: "1", Agreed: true}
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(c.API.Socket), "..", "*", pidName))
	for _, file := range files {
		var pid int
		text, _ := os.ReadFile(file)
		if _, err := fmt.Sscan(string(text), &pid); err == nil && syscall.Kill(pid, 0) == nil {
			s.View.Members = append(s.View.Members, filepath.Base(filepath.Dir(file)))
		}
	}
	pool := api.Pool{Name: c.Pools[0].Name, Buckets: c.Pools[0].Buckets, Owners: make(map[string]int)}
	for b := range int(pool.Buckets) {
		pool.Owners[s.View.Members[b%len(s.View.Members)]]++
	}
	s.Pools = []api.Pool{pool}
	return s
}

// labToKill runs a lab, says so, and waits for its end.
func labToKill(root, name string) error {
	l, err := New(Options{Root: root, Name: name, Nodes: 2, Ailing: true})
	if err != nil {
		return err
	}
	if err := l.Start(context.Background()); err != nil {
		return err
	}
	for _, n := range l.Nodes() {
		pid, err := n.Pid()
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stdout, pid)
	}
	fmt.Fprintln(os.Stdout, "up")
	select {}
}
