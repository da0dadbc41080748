package discovery

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/discovery/format"
)

// Param describes one parameter of a registry's URLs.
type Param struct {
	Name string
	// Type says what its values are, for people: "duration from 1s to 1m0s".
	Type string
	// Default is the value that an absent parameter has; it may be empty.
	Default string
	// Doc says what the parameter does.
	Doc string
}

// Params are the parameters that a registry's URLs may have. Like those of a
// flag.FlagSet, each is declared once, with the variable that gets its value,
// its name, default and documentation. The variable has the default from then
// on. Durations and numbers have bounds, both inclusive.
type Params struct {
	all []param
}

type param struct {
	Param
	list bool // may be given several times
	set  func(values []string) error
}

// All describes the parameters in the order in which they were declared.
func (p *Params) All() []Param {
	all := make([]Param, len(p.all))
	for i := range p.all {
		all[i] = p.all[i].Param
	}
	return all
}

// one declares a parameter that has one value; def must be a value that parse
// accepts. parse says in its error what is expected.
func one[T any](p *Params, v *T, def T, about Param, parse func(string) (T, error)) {
	*v = def
	p.all = append(p.all, param{Param: about, set: func(values []string) error {
		parsed, err := parse(values[0])
		if err != nil {
			return fmt.Errorf("%q %w", clip(values[0]), err)
		}
		*v = parsed
		return nil
	}})
}

// String declares a parameter that is any text.
func (p *Params) String(v *string, name, def, doc string) {
	one(p, v, def, Param{name, "text", def, doc}, func(s string) (string, error) { return s, nil })
}

// Strings declares a parameter that may be given several times.
func (p *Params) Strings(v *[]string, name, doc string) {
	*v = nil
	p.all = append(p.all, param{Param: Param{name, "text, may be repeated", "", doc}, list: true, set: func(values []string) error {
		*v = slices.Clone(values)
		return nil
	}})
}

// Enum declares a parameter that is one of several texts.
func (p *Params) Enum(v *string, name, def string, values []string, doc string) {
	list := strings.Join(values, ", ")
	one(p, v, def, Param{name, "one of " + list, def, doc}, func(s string) (string, error) {
		if !slices.Contains(values, s) {
			return "", fmt.Errorf("is not one of %s", list)
		}
		return s, nil
	})
}

// Bool declares a parameter that is true or false.
func (p *Params) Bool(v *bool, name string, def bool, doc string) {
	one(p, v, def, Param{name, "true or false", strconv.FormatBool(def), doc}, func(s string) (bool, error) {
		if s != "true" && s != "false" {
			return false, errors.New("is neither true nor false")
		}
		return s == "true", nil
	})
}

// Int declares a parameter that is a whole number.
func (p *Params) Int(v *int, name string, def, least, most int, doc string) {
	bounds := fmt.Sprintf("from %d to %d", least, most)
	one(p, v, def, Param{name, "number " + bounds, strconv.Itoa(def), doc}, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("is not a whole number %s", bounds)
		}
		return n, nil
	})
}

// Duration declares a parameter that is a duration, such as 1m30s.
func (p *Params) Duration(v *time.Duration, name string, def, least, most time.Duration, doc string) {
	bounds := fmt.Sprintf("from %v to %v", least, most)
	one(p, v, def, Param{name, "duration " + bounds, def.String(), doc}, func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil {
			return 0, errors.New(`is not a duration, such as "5s"`)
		}
		if d < least || d > most {
			return 0, fmt.Errorf("is not a duration %s", bounds)
		}
		return d, nil
	})
}

// Format declares a parameter that is the name of a format, such as
// "serverset:http". The default must be one that format.Named knows.
func (p *Params) Format(v *format.Format, name, def, doc string) {
	known := strings.Join(format.Names(), ", ")
	f, err := format.Named(def)
	if err != nil {
		f = format.Name() // unreachable with a default that is known
	}
	one(p, v, f, Param{name, "one of " + known, def, doc}, func(s string) (format.Format, error) {
		f, err := format.Named(s)
		if err != nil {
			return f, fmt.Errorf("is not a format: %w", err)
		}
		return f, nil
	})
}

// Secret declares a parameter that is a secret or a reference to one. Its
// value is not shown in errors.
func (p *Params) Secret(v *Secret, name, doc string) {
	*v = Secret{}
	p.all = append(p.all, param{Param: Param{name, "secret, env:NAME or file:PATH", "", doc}, set: func(values []string) error {
		if values[0] == "" {
			return errors.New("is empty")
		}
		*v = NewSecret(values[0])
		return nil
	}})
}

// bind sets the variables from the query of u and reports every mistake.
func (p *Params) bind(u *URL) error {
	var errs []error
	known := make(map[string]bool, len(p.all))
	names := make([]string, 0, len(p.all))
	for i := range p.all {
		d := &p.all[i]
		known[d.Name] = true
		names = append(names, d.Name)
		values := u.query[d.Name]
		switch {
		case len(values) == 0:
		case len(values) > 1 && !d.list:
			errs = append(errs, fmt.Errorf("parameter %q is given %d times", d.Name, len(values)))
		default:
			texts := make([]string, len(values))
			for i, v := range values {
				texts[i] = *v.text
			}
			if err := d.set(texts); err != nil {
				errs = append(errs, fmt.Errorf("parameter %q: %w", d.Name, err))
			}
		}
	}
	for name := range u.query {
		if known[name] {
			continue
		}
		list := "there are none"
		if len(names) > 0 {
			list = "known are " + strings.Join(names, ", ")
		}
		errs = append(errs, fmt.Errorf("parameter %q is not known; %s", clip(name), list))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// clip shortens what goes into an error.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
