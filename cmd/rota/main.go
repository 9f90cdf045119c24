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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	hangups := make(chan os.Signal, 1) // one that waits stands for all that came meanwhile
	signal.Notify(hangups, syscall.SIGHUP)
	code := cli.Main(ctx, cli.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv, Hangups: hangups}, os.Args[1:])
	stop()
	os.Exit(code)
}
