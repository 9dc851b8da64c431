package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// receiver takes what rollcall tells, and refuses what others say in its name.
type receiver struct{ webhook *standardwebhooks.Webhook }

func (r receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, 1<<20)) // as bytes: parsed and printed again, it has another signature
	if err != nil {
		http.Error(w, "too large, or cut off", http.StatusRequestEntityTooLarge)
		return
	}
	// One of several signatures has to fit, and the timestamp must be within five minutes.
	if err := r.webhook.Verify(body, req.Header); err != nil {
		status := http.StatusUnauthorized
		if errors.Is(err, standardwebhooks.ErrRequiredHeaders) || errors.Is(err, standardwebhooks.ErrInvalidHeaders) {
			status = http.StatusBadRequest
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	// The same event may come again, with the same id: keep ids where you keep what came of the event. Answer when that is stored.
	fmt.Printf("%s %s\n", req.Header.Get(standardwebhooks.HeaderWebhookID), body)
	w.WriteHeader(http.StatusNoContent)
}

// listen serves until the process is ended.
func listen(address, secret string) error {
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil || secret == "" {
		return errors.New("RC_WEBHOOK_SECRET is whsec_ and base64")
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Printf("listening on http://%s\n", listener.Addr())
	mux := http.NewServeMux()
	mux.Handle("POST /", receiver{webhook})
	server := http.Server{Handler: mux, ReadTimeout: 10 * time.Second}
	return server.Serve(listener)
}
