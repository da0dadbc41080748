// Package brief bounds the errors that the library keeps, shows and repeats. What a
// watcher, a dialer, a server or a connection says may be of any length; a pool of
// thousands of endpoints has one error of each, and every failed call quotes some.
package brief

import (
	"errors"
	"fmt"
	"unicode/utf8"
)

const (
	// MaxText is the length in bytes above which the text of an error is cut.
	MaxText = 4096
	// maxErrors is how many errors [Errors] keeps.
	maxErrors = 3
)

// Error returns err if its text has at most [MaxText] bytes, else an error whose text
// is the beginning of that, and that matches what err does.
func Error(err error) error {
	if err == nil {
		return nil
	}
	whole := text(err)
	if len(whole) <= MaxText {
		return err
	}
	return &cut{err, shorten(whole)}
}

// Text returns the text of err, which may be nil, cut as [Error] cuts it.
func Text(err error) string { return shorten(text(err)) }

// text is err's text. A panic of its method becomes part of the text.
func text(err error) string { return fmt.Sprint(err) }

// shorten returns s, or its beginning and its length.
func shorten(s string) string {
	if len(s) <= MaxText {
		return s
	}
	n := MaxText
	for n > MaxText-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return fmt.Sprintf("%s... (%d bytes in all)", s[:n], len(s))
}

// Clip returns s, or its first 64 bytes, for an error that quotes it.
func Clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// cut is an error with a shorter text.
type cut struct {
	error

	text string
}

func (c *cut) Error() string { return c.text }
func (c *cut) Unwrap() error { return c.error }

// Errors collects errors: the first three, and the number of the others. The zero
// Errors has none.
type Errors struct {
	first []error
	more  int
}

// Add adds an error that is not nil.
func (e *Errors) Add(err error) {
	if len(e.first) == maxErrors {
		e.more++
		return
	}
	e.first = append(e.first, Error(err))
}

// Len returns how many errors were added.
func (e *Errors) Len() int { return len(e.first) + e.more }

// Err returns an error that matches the first three and counts the others, or nil if
// none was added.
func (e *Errors) Err() error {
	if e.more > 0 {
		return fmt.Errorf("%w\nand %d more", errors.Join(e.first...), e.more)
	}
	return errors.Join(e.first...)
}
