package servertest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// Run says what to run.
type Run struct {
	Path string   // of the program
	Dir  string   // in which it runs
	Env  []string // beyond that of this process
	Log  *Log     // what it says; several processes may share one
}

// Log is what processes said. It is safe for concurrent use.
type Log struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *Log) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
}

// String returns all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Process is a running process of the program. It dies with the process of the test.
type Process struct {
	cmd  *exec.Cmd
	log  *Log
	open chan string   // gets the address once, has room for it
	done chan struct{} // closed when the process has ended
	err  error         // how it ended; valid when done is closed
}

// Start runs the program and does not wait until it serves.
func Start(r Run) (*Process, error) {
	p := &Process{cmd: exec.Command(r.Path), log: r.Log, open: make(chan string, 1), done: make(chan struct{})}
	p.cmd.Dir, p.cmd.Env = r.Dir, append(os.Environ(), r.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	p.cmd.Stdout = p.cmd.Stderr // nothing is expected there, and it would be no better a place for a secret
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the server: %w", err)
	}
	go p.read(stderr) // until the process ends
	return p, nil
}

var opened = regexp.MustCompile(`rollcall is open.*ready(?:=|":")(http://[^ /]+)/readyz`)

func (p *Process) read(stderr io.Reader) {
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.log.add(lines.Text())
		if m := opened.FindStringSubmatch(lines.Text()); m != nil {
			select {
			case p.open <- m[1]:
			default:
			}
		}
	}
	p.err = p.cmd.Wait()
	close(p.done)
}

// Open waits until the process serves and returns its address, http://127.0.0.1:port.
func (p *Process) Open(most time.Duration) (base string, err error) {
	select {
	case base = <-p.open:
		return base, nil
	case <-p.done:
		return "", fmt.Errorf("the server ended at once: %w", errors.Join(p.err, errNotOpen))
	case <-time.After(most):
		return "", fmt.Errorf("%w within %v", errNotOpen, most)
	}
}

var errNotOpen = errors.New("the server did not open")

// PID returns the number of the process.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err returns how the process ended, nil if with exit code 0. It may be called when Done is closed.
func (p *Process) Err() error { return p.err }

// Signal sends a signal.
func (p *Process) Signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// Kill is kill -9; it returns when the process has ended.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// Stop is a planned stop: SIGTERM, after which the process must end by itself and with exit code 0.
func (p *Process) Stop(most time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("send SIGTERM: %w", err)
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(most):
		return fmt.Errorf("the server did not stop within %v", most)
	}
}
