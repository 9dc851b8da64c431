package config

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = "../../config.example.yaml"

// -update writes the sample anew after Config has changed.
var update = flag.Bool("update", false, "write "+sample)

func TestEveryKeyIsDescribedOnce(t *testing.T) {
	names, envs := map[string]bool{}, map[string]bool{"": true}
	for _, k := range Keys() {
		if k.Description == "" || strings.HasSuffix(k.Name, ".") || names[k.Name] || k.Env != "" && envs[k.Env] {
			t.Errorf("%+v lacks a description or a name of its own", k)
		}
		names[k.Name], envs[k.Env] = true, true
		if foreign(k.Env) {
			t.Errorf("%s cannot be set: its variable is taken for somebody else's", k.Name)
		}
	}
	for _, name := range []string{"http.addr", "database.dsn", "auth.hs256_secret", "socket.eio3_ping_interval", "webhook.retry_base", "webhooks"} {
		if !names[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

// The sample lists every key once with its default, and loading it changes nothing.
func TestSample(t *testing.T) {
	want := render()
	if *update {
		if err := os.WriteFile(sample, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(sample)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, string(text)); d != "" {
		t.Errorf("the sample is out of date, run go test ./internal/config -update:\n%s", d)
	}
	loaded, err := Load(Source{File: sample, FileNamed: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	defaults, err := Load(Source{})
	if err != nil {
		t.Fatal(err)
	}
	loaded.Webhooks, loaded.Auth.APIKeys = nil, nil // [] in the sample
	loaded.HTTP.TrustedProxies, loaded.HTTP.AllowedOrigins = nil, nil
	if d := cmp.Diff(defaults, loaded); d != "" {
		t.Error(d)
	}
}

// render writes the sample from the tags.
func render() string {
	var b strings.Builder
	b.WriteString("# Every key of rollcall with its default. Copy what you change to config.yaml; all of it is optional.\n" +
		"# A variable of the environment wins over the file: ROLLCALL_ and the path, such as ROLLCALL_HTTP_ADDR;\n" +
		"# lists are separated by commas there.\n")
	for _, top := range children(reflect.ValueOf(&Config{}).Elem(), "") {
		if top.value.Kind() != reflect.Struct {
			b.WriteString("\n" + entry(top, top.name))
			continue
		}
		fmt.Fprintf(&b, "\n# %s\n%s:\n", top.tag.Get("doc"), top.name)
		for _, f := range children(top.value, top.name) {
			for line := range strings.Lines(entry(f, strings.TrimPrefix(f.name, top.name+"."))) {
				b.WriteString("  " + line)
			}
		}
	}
	return b.String()
}

// entry writes a key below its description.
func entry(f field, key string) string {
	text := f.tag.Get("default")
	switch {
	case f.value.Kind() == reflect.Slice:
		text = "[]"
	case text == "":
		text = `""`
	}
	comment := f.tag.Get("doc")
	if a := allowed(f.tag); a != "" {
		comment += " (" + a + ")"
	}
	return "# " + comment + "\n" + key + ": " + text + "\n"
}
