package discovery

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/internal/brief"
	"github.com/minicaptain/multi_connection_pool/internal/duration"
)

// Param describes one parameter of a registry's URLs.
type Param struct {
	Name string
	// Type describes the values, for people: "duration from 1s to 1m0s".
	Type string
	// Default is the value of an absent parameter. It may be empty.
	Default string
	// Doc describes what the parameter does.
	Doc string
}

// Params are the parameters that a registry's URLs may have. As with a
// flag.FlagSet, a plugin declares each of them once, with the variable that gets
// its value, its name, default and documentation. A declaration sets the variable
// to the default. Bounds of durations and numbers are inclusive.
type Params struct {
	all    []param
	checks []func() error
}

type param struct {
	Param
	list bool // may be given several times
	set  func(values []string) error
}

// All returns the parameters in the order in which they were declared.
func (p *Params) All() []Param {
	all := make([]Param, len(p.all))
	for i := range p.all {
		all[i] = p.all[i].Param
	}
	return all
}

// Var declares a parameter of another type, with one value. The error of parse
// follows the quoted value and names what is expected: "is not a color".
func Var[T any](p *Params, v *T, def T, about Param, parse func(string) (T, error)) {
	declare(p, v, def, about, parse, nil)
}

// declare is Var with a check, if it is not nil, of what parse returns and of
// what else sets the variable. Its error continues the quoted value like that
// of parse.
func declare[T any](p *Params, v *T, def T, about Param, parse func(string) (T, error), check func(T) error) {
	*v = def
	p.all = append(p.all, param{Param: about, set: func(values []string) error {
		parsed, err := parse(values[0])
		if err == nil && check != nil {
			err = check(parsed)
		}
		if err != nil {
			return fmt.Errorf("%q %w", brief.Clip(values[0]), err)
		}
		*v = parsed
		return nil
	}})
	if check != nil {
		p.check(about.Name, func() error {
			if err := check(*v); err != nil {
				return fmt.Errorf("%q %w", brief.Clip(fmt.Sprint(*v)), err)
			}
			return nil
		})
	}
}

// check adds what Validate reports of the parameter.
func (p *Params) check(name string, f func() error) {
	p.checks = append(p.checks, func() error {
		if err := f(); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	})
}

// Validate reports every variable that has a value which no URL could have
// given it, and every secret and certificate that cannot be read now. A plugin
// calls it when its options have set the variables. It connects to nothing.
func (p *Params) Validate() error {
	errs := make([]error, len(p.checks))
	for i, check := range p.checks {
		errs[i] = check()
	}
	return errors.Join(errs...)
}

// String declares a parameter that is any text.
func (p *Params) String(v *string, name, def, doc string) {
	Var(p, v, def, Param{name, "text", def, doc}, func(s string) (string, error) { return s, nil })
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
	declare(p, v, def, Param{name, "one of " + list, def, doc}, func(s string) (string, error) { return s, nil }, func(s string) error {
		if !slices.Contains(values, s) {
			return fmt.Errorf("is not one of %s", list)
		}
		return nil
	})
}

// Bool declares a parameter that is true or false.
func (p *Params) Bool(v *bool, name string, def bool, doc string) {
	Var(p, v, def, Param{name, "true or false", strconv.FormatBool(def), doc}, func(s string) (bool, error) {
		if s != "true" && s != "false" {
			return false, errors.New("is neither true nor false")
		}
		return s == "true", nil
	})
}

// Int declares a parameter that is a whole number.
func (p *Params) Int(v *int, name string, def, least, most int, doc string) {
	bounds := fmt.Sprintf("from %d to %d", least, most)
	wrong := errors.New("is not a whole number " + bounds)
	declare(p, v, def, Param{name, "number " + bounds, strconv.Itoa(def), doc}, func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil {
			return 0, wrong
		}
		return n, nil
	}, func(n int) error {
		if n < least || n > most {
			return wrong
		}
		return nil
	})
}

// Duration declares a parameter that is a duration, such as 1m30s.
func (p *Params) Duration(v *time.Duration, name string, def, least, most time.Duration, doc string) {
	bounds := fmt.Sprintf("from %v to %v", least, most)
	declare(p, v, def, Param{name, "duration " + bounds, def.String(), doc}, duration.Parse, func(d time.Duration) error {
		if d < least || d > most {
			return fmt.Errorf("is not a duration %s", bounds)
		}
		return nil
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
	p.check(name, func() error {
		_, err := v.Value()
		return err
	})
}

// bind sets the variables from the query of u. Its error names every mistake.
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
		errs = append(errs, fmt.Errorf("parameter %q is not known; known are %s", brief.Clip(name), strings.Join(names, ", ")))
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}
