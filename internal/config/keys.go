package config

import (
	"fmt"
	"reflect"
	"strings"
)

// envPrefix begins the name of every environment variable.
const envPrefix = "ROLLCALL_"

// Key describes one key of the configuration, for documentation.
type Key struct {
	Name        string // such as http.addr
	Env         string // its environment variable; empty when it comes from the file only
	Default     string // as one would write it in a variable; empty for an empty text or list
	Allowed     string // "a|b" or "from to to"; empty when the description says it all
	Description string // one line
}

// Keys returns every key, in the order of Config.
func Keys() []Key {
	var keys []Key
	for _, f := range leaves(&Config{}) {
		keys = append(keys, Key{
			Name: f.name, Env: f.env(), Default: f.tag.Get("default"),
			Allowed: allowed(f.tag), Description: f.tag.Get("doc"),
		})
	}
	return keys
}

// field is one key of one Config: its value can be set.
type field struct {
	name  string
	value reflect.Value
	tag   reflect.StructTag
}

// fileOnly reports whether the key holds a list of mappings, which no variable or flag can say.
func (f field) fileOnly() bool { return ofStructs(f.value) }

func (f field) env() string {
	if f.fileOnly() {
		return ""
	}
	return envName(f.name)
}

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

// leaves returns all keys of c, those of sections in place of the sections.
func leaves(c *Config) []field { return walk(reflect.ValueOf(c).Elem(), "") }

func walk(section reflect.Value, name string) []field {
	var all []field
	for _, f := range children(section, name) {
		if f.value.Kind() == reflect.Struct {
			all = append(all, walk(f.value, f.name)...)
		} else {
			all = append(all, f)
		}
	}
	return all
}

// children returns the keys and sections right below a section.
func children(section reflect.Value, name string) []field {
	t := section.Type()
	all := make([]field, t.NumField())
	for i := range all {
		tag := t.Field(i).Tag
		all[i] = field{name: join(name, tag.Get("key")), value: section.Field(i), tag: tag}
	}
	return all
}

func join(section, key string) string {
	if section == "" {
		return key
	}
	return section + "." + key
}

// item names one entry of a list, counted from 0.
func item(list string, i int) string { return fmt.Sprintf("%s[%d]", list, i) }

func ofStructs(v reflect.Value) bool {
	return v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct
}
