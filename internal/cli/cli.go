package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rota-cluster/rota/internal/api"
	"github.com/rota-cluster/rota/internal/config"
	"github.com/rota-cluster/rota/internal/daemon"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1 // refused or failed
	exitUsage  = 2 // bad usage or bad configuration
)

// Signals are what the process is told by others.
type Signals = daemon.Signals

// Env is what the process gives to the commands.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	// Signals are for a daemon; any of them ends any other command.
	Signals Signals
}

// runs is the one command that has its own ways with signals.
const runs = "run"

// program is one run of the command.
type program struct {
	Env
	socket string
}

// usageError is the fault of whoever typed the command.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func badUsage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// Main runs the command and returns the process's exit code.
func Main(ctx context.Context, env Env, args []string) int {
	p := &program{Env: env}
	root := p.root()
	root.SetArgs(args)
	root.SetIn(env.Stdin)
	root.SetOut(env.Stdout)
	root.SetErr(env.Stderr)
	ctx, end := context.WithCancel(ctx)
	defer end()
	root.PersistentPreRun = func(cmd *cobra.Command, _ []string) {
		if cmd.Name() != runs {
			go endOn(ctx, env.Signals, end)
		}
	}
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintln(env.Stderr, complaint(err))
	return exitCode(err)
}

// endOn ends a command at the first signal.
func endOn(ctx context.Context, signals Signals, end func()) {
	defer end()
	select {
	case <-signals.Hangups:
	case <-signals.Stops:
	case <-signals.Restarts:
	case <-ctx.Done():
	}
}

// complaint is the error as it is told. Errors of a file begin with its name,
// as editors want it; all others with the program's.
func complaint(err error) string {
	if e, ok := errors.AsType[*api.Error](err); isConfigError(err) || ok && e.Code == api.CodeBadConfig {
		return err.Error()
	}
	return "rota: " + strings.ReplaceAll(err.Error(), "\n", "; ")
}

func isConfigError(err error) bool {
	_, ok := errors.AsType[*config.Error](err)
	return ok
}

func exitCode(err error) int {
	if _, ok := errors.AsType[usageError](err); ok || isConfigError(err) {
		return exitUsage
	}
	if e, ok := errors.AsType[*api.Error](err); ok && (e.Code == api.CodeBadRequest || e.Code == api.CodeBadConfig) {
		return exitUsage
	}
	return exitFailed
}

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "rota",
		Short: "Share the load of one IP address among several hosts",
		Long: `rota makes several hosts answer on one IP address without a director in front
of them. Each host runs the daemon (rota run); the other commands ask it or
order it about.`,
		Example: `  rota run --config /etc/rota/rota.yaml
  rota status
  rota explain 198.51.100.7:40000 192.0.2.10:443`,
		Args:              cobra.ArbitraryArgs,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{HiddenDefaultCmd: true},
	}
	root.RunE = group(root)
	root.Version = Version()
	root.SetVersionTemplate(versionText())
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return badUsage("%w; %s --help tells the flags", err, cmd.CommandPath())
	})
	root.SetHelpCommand(help(root))
	root.PersistentFlags().StringVar(&p.socket, "socket", config.DefaultSocket, "`PATH` of the socket")
	root.AddCommand(
		p.run(), p.status(), p.events(), p.explain(), p.drain(), p.resume(), p.weight(), p.reload(), p.restart(), p.take(), p.release(), p.move(),
		p.check(), p.configuration(), p.key(), p.lab(), p.version(),
	)
	return root
}

// group is the command of which only the ones below it do something.
func group(cmd *cobra.Command) func(*cobra.Command, []string) error {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		hint := ""
		if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
			hint = "did you mean " + near[0] + "? "
		}
		return badUsage("unknown command %q; %s%s --help tells all", args[0], hint, cmd.CommandPath())
	}
}

// help is rota help COMMAND, for those who are used to it.
func help(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Explain a command", Hidden: true, Args: cobra.ArbitraryArgs,
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return badUsage("unknown command %q; rota --help tells all", strings.Join(args, " "))
			}
			cmd.InitDefaultHelpFlag()
			cmd.InitDefaultVersionFlag()
			return cmd.Help()
		},
	}
}

// arguments are exactly these, for the message when they are not.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		wants := "no arguments"
		if len(names) > 0 {
			wants = strings.Join(names, " ")
		}
		return badUsage("%s takes %s, not %s; %s --help tells more", cmd.Name(), wants, plural(len(args), "argument"), cmd.CommandPath())
	}
}

// byFlag are no arguments, for the commands that are told their FILE by --config.
func byFlag(also string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 1 {
			return badUsage("%s takes its file by a flag: %s --config %s%s", cmd.Name(), cmd.CommandPath(), args[0], also)
		}
		return arguments()(cmd, args)
	}
}

func (p *program) client() *api.Client { return api.NewClient(p.socket) }
