// Command server is rollcall: it reads the configuration, builds the house from the ground up, runs it, and takes it
// down in reverse order.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"rollcall/internal/auth"
	"rollcall/internal/config"
)

// version is set when a release is built.
var version = "0.1.0-dev"

func main() {
	os.Exit(run(untilSignalled(), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
}

// untilSignalled returns a context that ends with the first SIGINT or SIGTERM; the second ends the process at once. It is one channel for
// both: with signal.NotifyContext a second signal that comes before the first has been seen to is lost.
func untilSignalled() context.Context {
	ctx, stop := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		stop()
		<-signals
		os.Exit(1)
	}()
	return ctx
}

const usage = `rollcall: presence and notices for meeting rooms

usage: server [command] [flags]

commands:
  serve            run the service (the default)
  migrate up       bring the database schema up to date
  migrate status   say where the database schema stands
  check            read the configuration and say everything that is wrong with it
  keygen           make a key for a caller of REST: [-name NAME] [-role viewer|backend|admin]
  token            sign a token for development, with auth.hs256_secret: -user ID [-conferences 42,43|*] [-name NAME]
                   [-role host|member|observer] [-system] [-for 1h]; without -conferences the members list decides
  explain          say what happened to a user, and why: -user ID [-conference ID] [-from TIME] [-to TIME];
                   a TIME is RFC 3339 or milliseconds since 1970. It may run beside the service
  ready            ask the running service for its /readyz; exit code 0 if it is ready, for probes of containers
  version          print the version

flags, for every command that reads the configuration:
  -config FILE     a YAML file; config.yaml is read if it is there
  -KEY VALUE       any key of the configuration, such as -http.addr 127.0.0.1:9000
  -keys            list all keys with their defaults
`

// run is the program without its process. It returns the exit code: 0, 1 for a failure, 2 for a wrong call.
func run(ctx context.Context, args, environ []string, stdout, stderr io.Writer) int {
	command := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	commands := map[string]func() error{
		"serve": func() error {
			return configured(args, environ, stdout, func(c config.Config) error { return serve(ctx, c, stderr) })
		},
		"check": func() error {
			return configured(args, environ, stdout, func(config.Config) error { return say(stdout, "the configuration is valid") })
		},
		"keygen":  func() error { return keygen(args, stdout) },
		"token":   func() error { return token(args, environ, stdout) },
		"explain": func() error { return explainUser(ctx, args, environ, stdout) },
		"migrate": func() error { return migrate(ctx, args, environ, stdout) },
		"ready":   func() error { return askReady(ctx, args, environ, stdout) },
		"version": func() error { return say(stdout, "rollcall "+fullVersion()) },
		"help":    func() error { return say(stdout, usage) },
	}
	do, ok := commands[command]
	if !ok {
		fmt.Fprintf(stderr, "unknown command %q\n\n%s", command, usage)
		return 2
	}
	err := do()
	switch {
	case err == nil:
		return 0
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errTold):
		return 1
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "%v\n\n%s", err, usage)
		return 2
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		fmt.Fprintf(stderr, "the configuration has %d problem(s):\n", len(problems))
		for _, p := range problems {
			fmt.Fprintln(stderr, "  "+p.String())
		}
		return 1
	}
	fmt.Fprintln(stderr, "rollcall:", err)
	return 1
}

var errUsage = errors.New("wrong call")

func say(w io.Writer, line string) error {
	_, err := fmt.Fprintln(w, line)
	return err
}

// configured reads flags and configuration and calls f with it. more adds the flags of one command.
func configured(args, environ []string, stdout io.Writer, f func(config.Config) error, more ...func(*flag.FlagSet)) error {
	source := config.Source{Environ: environ, Overrides: map[string]string{}, CheckKeyFile: auth.CheckKeyFile}
	flags := flag.NewFlagSet("server", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Func("config", "a YAML file", func(v string) error { source.File, source.FileNamed = v, true; return nil })
	list := flags.Bool("keys", false, "list all keys")
	for _, add := range more {
		add(flags)
	}
	for _, k := range config.Keys() {
		flags.Func(k.Name, k.Description, func(v string) error { source.Overrides[k.Name] = v; return nil })
	}
	if err := parse(flags, args, stdout); err != nil {
		return err
	}
	if *list {
		for _, k := range config.Keys() {
			fmt.Fprintf(stdout, "%-32s %-20s %s\n", k.Name, k.Default, k.Description)
		}
		return nil
	}
	c, err := config.Load(source)
	if err != nil {
		return err
	}
	return f(c)
}

// parse reads args, which hold flags only. Who asks for help gets it, and an error that says so.
func parse(flags *flag.FlagSet, args []string, stdout io.Writer) error {
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return errors.Join(say(stdout, usage), err)
	} else if err != nil {
		return fmt.Errorf("%w: %v", errUsage, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: %q was not expected", errUsage, flags.Arg(0))
	}
	return nil
}

// fullVersion is the version with the commit it was built from, if that is known.
func fullVersion() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return version + " (" + s.Value[:12] + ")"
		}
	}
	return version
}
