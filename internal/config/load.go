package config

import (
	"maps"
	"regexp"
	"slices"
	"strings"
)

// DefaultFile is read, if it is there, when no file is named.
const DefaultFile = "config.yaml"

// Source says where a configuration comes from. What stands further down wins.
type Source struct {
	File      string            // path of the YAML file; empty is DefaultFile
	FileNamed bool              // somebody named File, so it has to be there
	Environ   []string          // as os.Environ gives it
	Overrides map[string]string // from flags: key to value, lists separated by commas

	// CheckKeyFile says what is wrong with a file of auth.public_key_file that can be read; nil looks no further.
	CheckKeyFile func(path string) error
}

// Load reads the configuration. A non-nil error is of type Problems and holds all of them; there is no
// Config then.
func Load(s Source) (Config, error) {
	l := &loader{config: &Config{}, where: map[string]string{}, bad: map[string]bool{}, checkKeyFile: s.CheckKeyFile}
	for _, f := range leaves(l.config) {
		if f.fileOnly() {
			continue
		}
		if err := setText(f.value, f.tag, f.tag.Get("default")); err != nil {
			l.problem(f.name, "default", err.Error())
		}
	}
	l.readFile(s)
	l.readEnviron(s.Environ)
	l.readOverrides(s.Overrides)
	l.validate()
	if len(l.problems) > 0 {
		return Config{}, l.problems
	}
	return *l.config, nil
}

// loader gathers one configuration and what is wrong with it.
type loader struct {
	config   *Config
	where    map[string]string // key to the place that set it last
	bad      map[string]bool   // keys with a problem: nothing is concluded from their values
	problems Problems

	checkKeyFile func(path string) error
}

func (l *loader) problem(key, where, text string) {
	l.problems = append(l.problems, Problem{Key: key, Where: where, Text: text})
	l.bad[key] = true
}

// set reads text into the field and remembers where it came from, forgetting where a list that it
// replaces came from.
func (l *loader) set(f field, where, text string) {
	maps.DeleteFunc(l.where, func(key, _ string) bool { return strings.HasPrefix(key, f.name+"[") })
	l.where[f.name] = where
	if err := setText(f.value, f.tag, text); err != nil {
		l.problem(f.name, where, err.Error())
	}
}

func (l *loader) readEnviron(environ []string) {
	byName := map[string]field{}
	for _, f := range leaves(l.config) {
		byName[envName(f.name)] = f
	}
	for _, entry := range environ {
		name, text, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, envPrefix) || foreign(name) {
			continue
		}
		where := "environment " + name
		if f, ok := byName[name]; ok {
			l.set(f, where, text)
			continue
		}
		l.problem("", where, "names no key"+didYouMean(name, slices.Sorted(maps.Keys(byName))))
	}
}

// serviceLink matches the variables that Kubernetes gives to every container beside a service that is
// itself called rollcall. No key begins with service or port.
var serviceLink = regexp.MustCompile(`^ROLLCALL_(SERVICE_(HOST|PORT(_.+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// foreign reports whether the variable is none of ours although it begins like ours.
func foreign(name string) bool {
	return name == "ROLLCALL_PROVE" || strings.HasPrefix(name, "ROLLCALL_TEST_") || serviceLink.MatchString(name)
}

func (l *loader) readOverrides(overrides map[string]string) {
	byName := map[string]field{}
	for _, f := range leaves(l.config) {
		byName[f.name] = f
	}
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		if f, ok := byName[name]; ok {
			l.set(f, "flag", overrides[name])
			continue
		}
		l.problem(name, "flag", "unknown key"+didYouMean(name, slices.Sorted(maps.Keys(byName))))
	}
}
