package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// process is a server that runs.
type process struct {
	name string
	pid  int
	base string // http://127.0.0.1:port
	addr string // 127.0.0.1:port

	cmd  *exec.Cmd
	log  string        // file with all it says: a pipe would make us a part of what is measured
	done chan struct{} // closed when it has ended
}

var opened = regexp.MustCompile(`open\b.*(http://(127\.0\.0\.1:\d+))`)

// start runs a program in a new folder below dir and waits until it says where it listens. It dies with us.
func start(ctx context.Context, dir, name string, env []string, command ...string) (*process, error) {
	home, err := os.MkdirTemp(dir, name+"-")
	if err != nil {
		return nil, err
	}
	p := &process{name: name, log: filepath.Join(home, "log"), done: make(chan struct{})}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Dir, p.cmd.Env = home, append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	p.pid = p.cmd.Process.Pid
	go func() {
		_ = p.cmd.Wait()
		close(p.done)
	}()
	if err := p.await(ctx, 30*time.Second); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

// await reads the log until it holds the address.
func (p *process) await(ctx context.Context, most time.Duration) error {
	for end := time.Now().Add(most); time.Now().Before(end); {
		text, err := os.ReadFile(p.log)
		if err != nil {
			return err
		}
		if m := opened.FindSubmatch(text); m != nil {
			p.base, p.addr = string(m[1]), string(m[2])
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.done:
			return fmt.Errorf("%s ended at once, it said:\n%s", p.name, p.said())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("%s did not open within %v, it said:\n%s", p.name, most, p.said())
}

// said returns the end of the log.
func (p *process) said() string {
	text, _ := os.ReadFile(p.log)
	return string(text[max(0, len(text)-2000):])
}

// stop asks the process to end, and ends it if it does not.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
		p.kill()
	}
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}
