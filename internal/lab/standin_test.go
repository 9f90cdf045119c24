package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rota-cluster/rota/internal/config"
)

// TestMain lets this program stand in for rota, so that the lab's own
// machinery can be tested without a cluster, and for a lab to be killed.
func TestMain(m *testing.M) {
	var err error
	switch args := append(os.Args, "", "", ""); {
	case args[1] == "run":
		err = standIn(args[3])
	case args[1] == "--socket":
		err = askStandIn(args[2])
	case args[1] == "lab-to-kill":
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
	if _, err := config.LoadKey(c.KeyFile); err != nil {
		return err
	}
	_ = os.Remove(c.API.Socket)
	pidFile := filepath.Join(filepath.Dir(c.API.Socket), pidName)
	if err := os.WriteFile(pidFile, fmt.Append(nil, os.Getpid()), 0o600); err != nil {
		return err
	}
	l, err := net.Listen("unix", c.API.Socket)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { _ = l.Close() })
	for {
		conn, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		_ = json.NewEncoder(conn).Encode(standInStatus(c))
		_ = conn.Close()
	}
}

func standInStatus(c *config.Config) Status {
	s := Status{Cluster: c.Cluster, Node: c.Node.Name, State: "serving"}
	s.View.ID = json.RawMessage(`"1"`)
	s.View.Agreed = true
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(c.API.Socket), "..", "*", pidName))
	for _, file := range files {
		var pid int
		text, _ := os.ReadFile(file)
		if _, err := fmt.Sscan(string(text), &pid); err == nil && syscall.Kill(pid, 0) == nil {
			s.View.Members = append(s.View.Members, filepath.Base(filepath.Dir(file)))
		}
	}
	owners := make(map[string]int)
	for b := range int(c.Pools[0].Buckets) {
		owners[s.View.Members[b%len(s.View.Members)]]++
	}
	s.Pools = []PoolStatus{{Name: c.Pools[0].Name, Buckets: int(c.Pools[0].Buckets), Owners: owners}}
	return s
}

func askStandIn(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.Copy(os.Stdout, conn)
	return err
}

// labToKill runs a lab, says so, and waits for its end.
func labToKill(root, name string) error {
	l, err := New(Options{Root: root, Name: name, Nodes: 2})
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
		fmt.Println(pid)
	}
	fmt.Println("up")
	select {}
}
