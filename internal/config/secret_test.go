package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// A secret inside a struct is what leaks in practice: somebody logs the whole configuration.
func TestSecretsAreNotPrinted(t *testing.T) {
	c := Config{Redis: Redis{Password: "hunter2"}, Webhooks: []Webhook{{Secret: "hunter2"}}}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("start", "config", c, "password", c.Redis.Password)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("start", "config", c, "password", c.Redis.Password)
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	y, err := yaml.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(j) + string(y) + c.Redis.Password.String() + c.Redis.Password.GoString()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		all += fmt.Sprintf(verb, c) + fmt.Sprintf(verb, c.Redis.Password)
	}
	if strings.Contains(all, "hunter2") || strings.Contains(strings.ToLower(all), fmt.Sprintf("%x", "hunter2")) || !strings.Contains(all, masked) {
		t.Errorf("printed: %s", all)
	}
	if c.Redis.Password.Reveal() != "hunter2" {
		t.Error("Reveal does not")
	}
}

func TestNoSecretIsSeenToBeNone(t *testing.T) {
	if s := fmt.Sprintf("%v %#v", Secret(""), Secret("")); s != ` ""` {
		t.Errorf("got %q", s)
	}
}
