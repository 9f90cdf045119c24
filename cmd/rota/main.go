// Command rota shares the load of one IP address among several hosts.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/rota-cluster/rota/internal/cli"
)

func main() {
	signals := cli.Signals{
		Hangups:  on(1, syscall.SIGHUP), // one that waits stands for all that came meanwhile
		Stops:    on(2, os.Interrupt, syscall.SIGTERM),
		Restarts: on(1, syscall.SIGUSR2),
	}
	env := cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Signals: signals}
	os.Exit(cli.Main(context.Background(), env, os.Args[1:]))
}

// on collects these signals, as many as count.
func on(count int, which ...os.Signal) <-chan os.Signal {
	c := make(chan os.Signal, count)
	signal.Notify(c, which...)
	return c
}
