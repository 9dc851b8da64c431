// Command go is a meeting backend that uses rollcall. What it is for: examples/README.md.
//
//	go run ./examples/go tree 42 '{"topicInfo":{"title":"Budget"}}'
//	go run ./examples/go notice lunch-1 '{"to":{"users":["anna"]},"title":"Lunch","body":"At noon"}'
//	go run ./examples/go listen
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	server := rollcall{url: cmp.Or(os.Getenv("RC_URL"), "http://127.0.0.1:8080"), key: os.Getenv("RC_API_KEY")}
	var answer []byte
	var err error
	switch {
	case len(args) == 3 && args[0] == "tree":
		answer, err = server.patchTree(ctx, args[1], []byte(args[2]))
	case len(args) == 3 && args[0] == "notice":
		answer, err = server.notify(ctx, args[1], []byte(args[2]))
	case len(args) == 1 && args[0] == "listen":
		return listen(cmp.Or(os.Getenv("RC_LISTEN"), "127.0.0.1:8000"), os.Getenv("RC_WEBHOOK_SECRET"))
	default:
		return errors.New("usage: tree CONFERENCE JSON | notice IDEMPOTENCY-KEY JSON | listen")
	}
	if err == nil {
		_, err = os.Stdout.Write(answer)
	}
	return err
}
