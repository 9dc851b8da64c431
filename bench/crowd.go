package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"

	"rollcall/bench/load"
)

// The people of the hot conference are a process of their own, as they are on other machines in life: in one process with those of the
// small conferences, these would wait until thousands of others have read what came, and that would be measured.

// crowdCommand is the name by which this program is called to be them, before the address of the server, a conference and a number.
const crowdCommand = "crowd"

// runCrowd is what they do: they say "ready" when all of them see all, count from "FIRST N" on what comes of those pushes, say after "end"
// how many deliveries that were, and leave.
func runCrowd(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) != 3 {
		return errors.New("crowd needs an address, a conference and a number")
	}
	n, err := strconv.Atoi(args[2])
	if err != nil {
		return err
	}
	b := &bench{plan: planned(false, 1, 0)}
	fleet, err := b.gather(ctx, &server{process: &process{name: "rollcall", addr: args[0]}}, args[1], n)
	if err != nil {
		return err
	}
	defer fleet.Close()
	orders := bufio.NewReader(in)
	fmt.Fprintln(out, "ready")
	var first, pushes int
	if _, err := fmt.Fscanln(orders, &first, &pushes); err != nil {
		return err
	}
	seen := load.NewPushes(first, pushes)
	fleet.Handle(seen.Handle)
	fmt.Fprintln(out, "counting")
	if _, err := fmt.Fscanln(orders, new(string)); err != nil {
		return err
	}
	made, _ := seen.Deliveries()
	if err := fleet.Err(); err != nil {
		return err
	}
	fmt.Fprintln(out, made)
	return nil
}

// crowd is those people, as this process sees them.
type crowd struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startCrowd has n people come into a conference.
func startCrowd(s *server, conference string, n int) (*crowd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	c := &crowd{cmd: exec.Command(self, crowdCommand, s.addr, conference, strconv.Itoa(n))}
	c.cmd.Stderr = os.Stderr
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = bufio.NewReader(out)
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the crowd: %w", err)
	}
	if _, err := c.hear(); err != nil {
		c.stop()
		return nil, err
	}
	return c, nil
}

// hear reads what the crowd says next.
func (c *crowd) hear() (said string, err error) {
	if _, err = fmt.Fscanln(c.out, &said); err != nil {
		return "", fmt.Errorf("the crowd has gone: %w", err)
	}
	return said, nil
}

// count lets them count what comes of n pushes.
func (c *crowd) count(first, n int) error {
	if _, err := fmt.Fprintln(c.in, first, n); err != nil {
		return fmt.Errorf("tell the crowd: %w", err)
	}
	_, err := c.hear()
	return err
}

// end returns how many deliveries they have counted.
func (c *crowd) end() (made int64, err error) {
	if _, err := fmt.Fprintln(c.in, "end"); err != nil {
		return 0, fmt.Errorf("tell the crowd: %w", err)
	}
	said, err := c.hear()
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(said, 10, 64)
}

// stop sends them away, if they have not left.
func (c *crowd) stop() {
	_ = c.in.Close()
	_ = c.cmd.Wait()
}
