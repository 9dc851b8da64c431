package config

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setText reads text into the value as its type and tags want it. On an error, which says what was
// expected, the value is as it was.
func setText(v reflect.Value, tag reflect.StructTag, text string) error {
	switch p := v.Addr().Interface().(type) {
	case *string:
		return keep(p, text, oneOf(tag, text))
	case *Secret:
		return keep(p, Secret(text), nil)
	case *bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("expected true or false, found %q", text)
		}
		return keep(p, b, nil)
	case *int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("expected a whole number, found %q", text)
		}
		return keep(p, n, inRange(tag, n, strconv.Atoi))
	case *time.Duration:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("expected a duration such as 10s or 4464h, found %q", text)
		}
		return keep(p, d, inRange(tag, d, time.ParseDuration))
	case *[]string:
		return setList(p, tag, split(text))
	}
	return errors.New("can be set in the file only")
}

func setList(p *[]string, tag reflect.StructTag, items []string) error {
	for _, item := range items {
		if err := oneOf(tag, item); err != nil {
			return err
		}
	}
	return keep(p, items, nil)
}

// keep stores x in p unless there is an error.
func keep[T any](p *T, x T, err error) error {
	if err == nil {
		*p = x
	}
	return err
}

// split reads a list as variables and flags write it: separated by commas, blanks around them ignored.
func split(text string) []string {
	var items []string
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			items = append(items, item)
		}
	}
	return items
}

func oneOf(tag reflect.StructTag, text string) error {
	choices := tag.Get("oneof")
	if choices == "" || slices.Contains(strings.Split(choices, "|"), text) {
		return nil
	}
	return fmt.Errorf("expected one of %s, found %q", strings.ReplaceAll(choices, "|", ", "), text)
}

func inRange[T cmp.Ordered](tag reflect.StructTag, x T, parse func(string) (T, error)) error {
	low, errLow := parse(tag.Get("min"))
	high, errHigh := parse(tag.Get("max"))
	if err := errors.Join(errLow, errHigh); err != nil {
		return fmt.Errorf("read bounds: %w", err) // a slip in Config; a test sees to it that there is none
	}
	if x < low || x > high {
		return fmt.Errorf("must be from %s, found %v", allowed(tag), x)
	}
	return nil
}

// allowed says in words what the tags allow beyond the type.
func allowed(tag reflect.StructTag) string {
	if low, ok := tag.Lookup("min"); ok {
		return low + " to " + tag.Get("max")
	}
	return tag.Get("oneof")
}
