package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const composeDir = "compose"

// composition is what the tests look at of docker-compose.yml.
type composition struct {
	Services map[string]struct {
		Image       string
		Build       struct{ Context string }
		Environment map[string]string
		Volumes     []string
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
		Healthcheck *struct{ Test []string }
		Networks    []string
	}
	Networks, Volumes map[string]any
}

var variable = regexp.MustCompile(`\$\{(\w+)(:[-?][^}]*)?\}`)

// compose reads docker-compose.yml as Docker Compose does, with some values for the variables in env.example.
func compose(t *testing.T) (c composition) {
	t.Helper()
	values := map[string]string{"MYSQL_PASSWORD": "p", "ROLLCALL_AUTH_HS256_SECRET": strings.Repeat("x", 32), "VERSION": "1.2.3"}
	example := read(t, filepath.Join(composeDir, "env.example"))
	text := variable.ReplaceAllStringFunc(read(t, filepath.Join(composeDir, "docker-compose.yml")), func(v string) string {
		name := variable.FindStringSubmatch(v)[1]
		if values[name] == "" || !strings.Contains(example, "\n"+name+"=") {
			t.Errorf("env.example lacks %s", name)
		}
		return values[name]
	})
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	return c
}

// All that docker-compose.yml refers to is there.
func TestComposeRefersToWhatIsThere(t *testing.T) {
	c := compose(t)
	ownCheck := strings.Contains(read(t, "../Dockerfile"), "\nHEALTHCHECK ")
	for name, s := range c.Services {
		if s.Image == "" {
			t.Errorf("%s has no image", name)
		}
		if s.Build.Context != "" {
			if _, err := os.Stat(filepath.Join(composeDir, s.Build.Context, "Dockerfile")); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		for _, v := range s.Volumes {
			source, _, _ := strings.Cut(v, ":")
			_, named := c.Volumes[source]
			if _, err := os.Stat(filepath.Join(composeDir, source)); err != nil && !named {
				t.Errorf("%s mounts %s: %v", name, source, err)
			}
		}
		for other, d := range s.DependsOn {
			o, ok := c.Services[other]
			if !ok || d.Condition == "service_healthy" && o.Healthcheck == nil && (o.Build.Context == "" || !ownCheck) {
				t.Errorf("%s waits for %s, which is not there or has no health check", name, other)
			}
		}
		for _, n := range s.Networks {
			if _, ok := c.Networks[n]; !ok {
				t.Errorf("%s is in the network %s", name, n)
			}
		}
	}
}

// The nodes' configuration is a valid one: every variable is a key that the server knows, and each node has a name of its own.
func TestComposeConfiguration(t *testing.T) {
	c := compose(t)
	ids := map[string]bool{}
	for _, name := range []string{"node-a", "node-b"} {
		s := c.Services[name]
		env := dockerEnv(t)
		for k, v := range s.Environment {
			env = append(env, k+"="+v)
		}
		if said, err := ask(t, composeDir, env, "check"); err != nil {
			t.Errorf("%s: %v\n%s", name, err, said)
		}
		ids[s.Environment["ROLLCALL_NODE_ID"]] = true
		if said, err := ask(t, composeDir, append(env, "ROLLCALL_REDIS_ADRR=x"), "check"); err == nil {
			t.Errorf("a variable that is no key was taken: %s", said)
		}
	}
	if len(ids) != 2 || ids[""] {
		t.Errorf("names of nodes: %v", ids)
	}
}

// nginx.conf is the example of docs/operations.md, which TestProxies runs, and nginx takes it.
func TestComposeProxy(t *testing.T) {
	nodes := strings.NewReplacer("10.0.0.11:8080", "node-a:8080", "10.0.0.12:8080", "node-b:8080")
	example := nodes.Replace(section(t, operations(t), "```nginx", "```"))
	conf := read(t, filepath.Join(composeDir, "nginx.conf"))
	if _, rest, _ := strings.Cut(conf, "\n\n"); rest != example+"\n" {
		t.Errorf("compose/nginx.conf is not the example of docs/operations.md with node-a and node-b for its addresses; it should be:\n%s", example)
	}
	c := compose(t)
	for _, server := range regexp.MustCompile(`server (\S+):8080`).FindAllStringSubmatch(conf, -1) {
		if _, ok := c.Services[server[1]]; !ok {
			t.Errorf("nginx.conf sends to %s", server[1])
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "nginx.conf")
	conf = strings.NewReplacer("node-a", "127.0.0.1", "node-b", "127.0.0.2").Replace(conf) // names are looked up when it starts
	whole := fmt.Sprintf("pid %s/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n%s}\n", dir, conf)
	if err := os.WriteFile(file, []byte(whole), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "/usr/sbin/nginx", "-t", "-q", "-e", "stderr", "-p", dir, "-c", file).CombinedOutput(); err != nil {
		t.Errorf("nginx -t: %v\n%s", err, out)
	}
}
