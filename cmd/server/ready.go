package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"rollcall/internal/config"
)

// readyTimeout is within the usual time of a probe, and more than a healthy service ever takes.
const readyTimeout = 4 * time.Second

var errNotReady = errors.New("the service is not ready")

// askReady asks the running service that the configuration describes for its /readyz, where there is no other program to do so, as in
// the container. It is an error unless the answer is 200.
func askReady(ctx context.Context, args, environ []string, stdout io.Writer) error {
	return configured(args, environ, stdout, func(c config.Config) error {
		url, err := readyURL(c.HTTP)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return fmt.Errorf("ask for readiness: %w", err)
		}
		// Its certificate is for the name that clients use, and nothing is told to whoever answers.
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		resp, err := client.Do(r)
		if err != nil {
			return fmt.Errorf("%w: %w", errNotReady, err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(io.LimitReader(resp.Body, 1<<16))
		if err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%w: %s %s", errNotReady, resp.Status, text)
		}
		return say(stdout, strings.TrimSpace(string(text)))
	})
}

// readyURL is where a process of this machine finds the service.
func readyURL(c config.HTTP) (string, error) {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil || port == "0" {
		return "", fmt.Errorf("%w: http.addr %s has no port to ask at", errUsage, c.Addr)
	}
	switch {
	case host == "::":
		host = "::1"
	case host == "" || net.ParseIP(host).IsUnspecified():
		host = "127.0.0.1"
	}
	scheme := "http://"
	if c.TLSCert != "" {
		scheme = "https://"
	}
	return scheme + net.JoinHostPort(host, port) + "/readyz", nil
}
