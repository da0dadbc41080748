package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Parse reads a Config from a file's text with unmarshal, such as yaml.Unmarshal
// of any YAML library; nil means JSON. The text is one flat object, which
// unmarshal is given a *map[string]any for. The error names every mistake, what to
// write instead, and for a name that is not known those that are. Durations are
// checked by Options.
func Parse(data []byte, unmarshal func(data []byte, v any) error) (Config, error) {
	if unmarshal == nil {
		unmarshal = unmarshalJSON
	}
	var values map[string]any
	if err := unmarshal(data, &values); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	var c Config
	settings := c.settings()
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(values)) {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.name == name })
		if i < 0 {
			errs = append(errs, fmt.Errorf("config: %q is not known%s; known are %s", name, meant(name), strings.Join(Names(), ", ")))
		} else if err := settings[i].set(values[name]); err != nil {
			errs = append(errs, fmt.Errorf("config: %s %w", name, err))
		}
	}
	if len(errs) > 0 {
		return Config{}, errors.Join(errs...)
	}
	return c, nil
}

func unmarshalJSON(data []byte, v any) error {
	if text := bytes.TrimSpace(data); len(text) == 0 || text[0] != '{' {
		return errors.New(`the text is no JSON object such as {"registry": "zk://h1:2181/services/echo"}; for YAML, set Source.Unmarshal to yaml.Unmarshal of your YAML library`)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	err := d.Decode(v)
	if err == nil {
		if _, end := d.Token(); !errors.Is(end, io.EOF) {
			err = errors.New("something follows the JSON object")
		}
	}
	var wrong *json.SyntaxError
	if errors.As(err, &wrong) {
		before := data[:min(int(wrong.Offset), len(data))]
		return fmt.Errorf("line %d: %w", 1+bytes.Count(before, []byte("\n")), err)
	}
	return err
}

// set takes over a value of a file. Null is like an absent one. The error
// continues the name of the setting, and does not quote what may be a secret.
func (s *setting) set(value any) error {
	text, isText := value.(string)
	switch {
	case value == nil:
		return nil
	case s.secret != nil:
		if !isText {
			return errors.New(`is not a text: write a URL in quotes, such as "zk://h1:2181/services/echo", and several in one text, such as "zk://h1/echo or else etcd://h2/echo"`)
		}
		*s.secret = discovery.NewSecret(text)
	case s.text != nil:
		if !isText {
			return fmt.Errorf(`is %s: write a duration with its unit and in quotes, such as "5s"`, kind(value))
		}
		*s.text = text
	default:
		n, err := strconv.Atoi(fmt.Sprint(value)) // of each library's numbers
		switch {
		case isText && err == nil:
			return fmt.Errorf("is the text %q: write the number without quotes", text)
		case err != nil:
			return fmt.Errorf("is %s: write a whole number such as 64", kind(value))
		}
		*s.number = n
	}
	return nil
}

// kind describes a value of a file.
func kind(value any) string {
	switch v := reflect.ValueOf(value); {
	case v.Type() == reflect.TypeFor[json.Number](), v.CanInt(), v.CanUint(), v.CanFloat():
		return fmt.Sprintf("the number %v", value)
	case v.Kind() == reflect.String:
		return fmt.Sprintf("the text %q", value)
	case v.Kind() == reflect.Bool:
		return fmt.Sprint(value)
	default:
		return "a list or an object"
	}
}

// meant returns a question for a name that is close to that of a parameter, or "".
func meant(name string) string {
	if known := closest(name); known != "" {
		return fmt.Sprintf(" (did you mean %s?)", known)
	}
	return ""
}

// closest returns the parameter that at most two letters make of name, or "".
func closest(name string) string {
	best, found := 3, ""
	for _, known := range Names() {
		if d := distance(name, known); d < best {
			best, found = d, known
		}
	}
	return found
}

// distance is how many letters must be put in, left out or replaced to make b of a
// (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
