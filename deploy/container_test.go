package deploy_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instruction is one of a Dockerfile.
type instruction struct{ word, text string }

// stages returns the instructions of a Dockerfile by stage, in their order; the first of each is its FROM.
func stages(text string) (all [][]instruction) {
	text = regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(text, "")
	for line := range strings.Lines(strings.ReplaceAll(text, "\\\n", " ")) {
		word, rest, ok := strings.Cut(strings.TrimSpace(line), " ")
		switch {
		case !ok:
		case word == "FROM":
			all = append(all, []instruction{{word, rest}})
		default:
			all[len(all)-1] = append(all[len(all)-1], instruction{word, rest})
		}
	}
	return all
}

func texts(stage []instruction, word string) (all []string) {
	for _, i := range stage {
		if i.word == word {
			all = append(all, i.text)
		}
	}
	return all
}

// There is no container engine where the tests run. What can be said without one: the image is of nothing but what it needs, its
// user is nobody, and the program knows its variables and its probe.
func TestDockerfile(t *testing.T) {
	all := stages(read(t, "../Dockerfile"))
	if len(all) != 3 || all[2][0].text != "scratch" {
		t.Fatalf("%d stages, the last from %v", len(all), all)
	}
	last := all[2]
	if user := texts(last, "USER"); len(user) != 1 || user[0] != "65532:65532" {
		t.Errorf("user %v", user)
	}
	if entry := texts(last, "ENTRYPOINT"); len(entry) != 1 || entry[0] != `["/server"]` {
		t.Errorf("entrypoint %v", entry)
	}
	env := append(dockerEnv(t), "ROLLCALL_AUTH_MODE=jwt", "ROLLCALL_AUTH_HS256_SECRET="+strings.Repeat("x", 32))
	if said, err := ask(t, t.TempDir(), env, "check"); err != nil {
		t.Errorf("check: %v\n%s", err, said)
	}
	if said, err := ask(t, t.TempDir(), dockerEnv(t), "check"); err == nil || !strings.Contains(said, "auth.mode") {
		t.Errorf("an image without any lock is open to all: %v\n%s", err, said)
	}
	probe := regexp.MustCompile(`CMD \["/server", "(\w+)"\]`).FindStringSubmatch(strings.Join(texts(last, "HEALTHCHECK"), ""))
	if probe == nil {
		t.Fatal("no health check")
	}
	if said, _ := ask(t, t.TempDir(), []string{"ROLLCALL_HTTP_ADDR=127.0.0.1:1"}, probe[1]); !strings.Contains(said, "not ready") {
		t.Errorf("%s said %s", probe[1], said)
	}
	goVersion := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(read(t, "../go.mod"))[1]
	if !strings.HasPrefix(all[1][0].text, "golang:"+goVersion+"-") {
		t.Errorf("go.mod wants %s, the image is built by %s", goVersion, all[1][0].text)
	}
}

// dockerEnv returns the variables that the image sets.
func dockerEnv(t *testing.T) []string {
	t.Helper()
	all := stages(read(t, "../Dockerfile"))
	env := strings.Fields(strings.Join(texts(all[len(all)-1], "ENV"), " "))
	if len(env) == 0 {
		t.Fatal("the image sets nothing")
	}
	return env
}

// What the stage of Go copies is enough to build the server, without tests and without anything else of the repository.
func TestDockerfileCopiesEnough(t *testing.T) {
	dir := t.TempDir()
	for _, line := range texts(stages(read(t, "../Dockerfile"))[1], "COPY") {
		words := strings.Fields(line)
		if strings.HasPrefix(words[0], "--from") {
			continue
		}
		sources, target := words[:len(words)-1], filepath.Join(dir, words[len(words)-1])
		for _, source := range sources {
			from := filepath.Join("..", source)
			var err error
			if strings.HasSuffix(source, "/") {
				err = copyTree(target, from)
			} else {
				err = os.WriteFile(filepath.Join(target, filepath.Base(source)), []byte(read(t, from)), 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if said, err := goBuild(dir, filepath.Join(dir, "out")); err != nil {
		t.Errorf("%v\n%s", err, said)
	}
}

// copyTree copies what .dockerignore lets through.
func copyTree(target, from string) error {
	return filepath.WalkDir(from, func(path string, entry os.DirEntry, err error) error {
		name, inside := strings.CutPrefix(path, from)
		switch {
		case err != nil || !inside:
			return err
		case entry.IsDir() && entry.Name() == "node_modules":
			return filepath.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(target, name), 0o755)
		case strings.HasSuffix(name, "_test.go"):
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(target, name), text, 0o600)
	})
}

// What the Dockerfile copies is there, and .dockerignore does not keep it out.
func TestDockerfileSources(t *testing.T) {
	ignored := strings.Fields(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(read(t, "../.dockerignore"), ""))
	for _, stage := range stages(read(t, "../Dockerfile")) {
		for _, line := range texts(stage, "COPY") {
			words := strings.Fields(line)
			if strings.HasPrefix(words[0], "--from") {
				continue
			}
			for _, source := range words[:len(words)-1] {
				if _, err := os.Stat(filepath.Join("..", source)); err != nil {
					t.Error(err)
				}
				if top, _, _ := strings.Cut(source, "/"); slices.Contains(ignored, top) {
					t.Errorf(".dockerignore keeps %s out", source)
				}
			}
		}
	}
}
