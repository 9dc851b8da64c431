package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"regexp"
	"strconv"

	"go.yaml.in/yaml/v3"
)

// maxFile is the size in bytes above which a file is no configuration: real ones have a few thousand.
const maxFile = 1 << 20

func (l *loader) readFile(s Source) {
	name := s.File
	if name == "" {
		name = DefaultFile
	}
	text, err := read(name)
	if errors.Is(err, fs.ErrNotExist) && !s.FileNamed {
		return
	}
	if err != nil {
		l.problem("", name, "cannot read the configuration file: "+reason(err))
		return
	}
	l.decode(name, text)
}

func read(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("it has more than %d bytes", maxFile)
	}
	return text, err
}

// reason returns the error without operation and path, which the problem names already.
func reason(err error) string {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}

// decode reads the one YAML document of a file; an empty one says nothing.
func (l *loader) decode(name string, text []byte) {
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, more yaml.Node
	err := d.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return
	}
	if err != nil {
		l.broken(name, err)
		return
	}
	if err := d.Decode(&more); err == nil {
		l.problem("", fmt.Sprintf("%s:%d", name, more.Line), "a second YAML document begins here, expected one only")
	} else if !errors.Is(err, io.EOF) {
		l.broken(name, err)
	}
	if len(doc.Content) == 0 {
		return
	}
	r := fileReader{loader: l, file: name}
	r.mapping(field{value: reflect.ValueOf(l.config).Elem()}, doc.Content[0])
}

// yamlError finds the line in an error of the YAML reader, which has no field for it. yamlParser matches
// those errors of it whose lines are counted from 0 and left out when they are 0.
var (
	yamlError  = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)
	yamlParser = regexp.MustCompile(`^did not find expected (node content|key|'|<)`)
)

func (l *loader) broken(name string, err error) {
	text, line := err.Error(), 0
	if found := yamlError.FindStringSubmatch(text); found != nil {
		text = text[len(found[0]):]
		line, _ = strconv.Atoi(found[1]) // 0 when there is none
	}
	if yamlParser.MatchString(text) {
		line++
	}
	if line > 0 {
		name = fmt.Sprintf("%s:%d", name, line)
	}
	l.problem("", name, "not valid YAML: "+text)
}

// fileReader walks Config and a YAML document side by side, so it goes no deeper than Config does,
// whatever the document holds.
type fileReader struct {
	*loader
	file string
}

func (r fileReader) at(n *yaml.Node) string { return fmt.Sprintf("%s:%d", r.file, n.Line) }

// node reads what stands behind the key of f. Null says nothing, as if the key were not there.
func (r fileReader) node(f field, n *yaml.Node) {
	n = follow(n)
	switch {
	case null(n):
	case f.value.Kind() == reflect.Struct:
		r.mapping(f, n)
	case ofStructs(f.value):
		r.entries(f, n)
	case f.value.Kind() == reflect.Slice:
		r.list(f, n)
	case n.Kind != yaml.ScalarNode:
		r.problem(f.name, r.at(n), "expected a single value, found "+kind(n))
	default:
		r.set(f, r.at(n), n.Value)
	}
}

func (r fileReader) mapping(section field, n *yaml.Node) {
	if n = follow(n); null(n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.problem(section.name, r.at(n), "expected keys with values, found "+kind(n))
		return
	}
	known := map[string]field{}
	for _, f := range children(section.value, section.name) {
		known[f.name] = f
	}
	first := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := follow(n.Content[i])
		name := join(section.name, key.Value)
		f, ok := known[name]
		switch line, twice := first[name]; {
		case key.Kind != yaml.ScalarNode:
			r.problem(section.name, r.at(key), "expected the name of a key, found "+kind(key))
		case twice:
			r.problem(name, r.at(key), fmt.Sprintf("is given twice, first on line %d", line))
		case !ok:
			r.problem(name, r.at(key), unknown(section.name, key.Value, known))
		default:
			r.node(f, n.Content[i+1])
		}
		if _, twice := first[name]; !twice {
			first[name] = key.Line
		}
	}
}

// entries reads a list of mappings; entry i of key k is known as k[i].
func (r fileReader) entries(f field, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		r.problem(f.name, r.at(n), "expected a list, found "+kind(n))
		return
	}
	r.where[f.name] = r.at(n)
	f.value.Set(reflect.MakeSlice(f.value.Type(), len(n.Content), len(n.Content)))
	for i, e := range n.Content {
		entry := field{name: item(f.name, i), value: f.value.Index(i)}
		r.where[entry.name] = r.at(e)
		r.mapping(entry, e)
	}
}

func (r fileReader) list(f field, n *yaml.Node) {
	if n.Kind != yaml.SequenceNode {
		r.problem(f.name, r.at(n), "expected a list such as [a, b], found "+kind(n))
		return
	}
	r.where[f.name] = r.at(n)
	var items []string
	for i, e := range n.Content {
		e = follow(e)
		if e.Kind != yaml.ScalarNode || null(e) || e.Value == "" {
			r.problem(f.name, r.at(e), "expected a text as entry of the list, found "+kind(e))
			return
		}
		r.where[item(f.name, i)] = r.at(e)
		items = append(items, e.Value)
	}
	p, ok := f.value.Addr().Interface().(*[]string)
	if !ok {
		return // Config has no other lists
	}
	if err := setList(p, f.tag, items); err != nil {
		r.problem(f.name, r.at(n), err.Error())
	}
}

// follow returns what an alias stands for.
func follow(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

func null(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// kind names what stands in the file, without repeating it: it may be a secret.
func kind(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case null(n) || n.Value == "":
		return "nothing"
	}
	return "a single value"
}
