package discovery

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// Secret is a password or token, or a reference to it: "env:NAME" is the
// environment variable NAME, "file:PATH" the content of a file without the
// newlines at its end, and any other text is the secret itself. Printing a Secret
// does not show it. The zero Secret is not set.
type Secret struct {
	// Pointers, so that fmt, which calls no method of unexported fields,
	// shows nothing of a Secret that is one.
	text *string
	user *string // set by UserPassword: the text is the password only
}

// NewSecret returns the secret that text is, or refers to.
func NewSecret(text string) Secret { return Secret{text: &text} }

// IsSet reports whether there is a secret.
func (s Secret) IsSet() bool { return s.text != nil || s.user != nil }

// Validate reports what is missing from a secret that [UserPassword] made. It
// looks nothing up.
func (s Secret) Validate() error {
	switch {
	case s.user == nil:
		return nil
	case *s.user == "":
		return errors.New("a password without a user")
	case s.text == nil:
		return fmt.Errorf("the user %q has no password", *s.user)
	case strings.Contains(*s.user, ":"):
		return fmt.Errorf("the user %q has a colon in its name", *s.user)
	}
	return nil
}

// Value returns the secret, or "" if it is not set. It follows a reference at each
// call: a secret that is changed in its file or variable is used from then on. A
// reference to a variable or a file that does not exist is an error.
func (s Secret) Value() (string, error) {
	if s.user != nil {
		if err := s.Validate(); err != nil {
			return "", fmt.Errorf("discovery: credentials: %w", err)
		}
		password, err := Secret{text: s.text}.Value()
		return *s.user + ":" + password, err
	}
	if s.text == nil {
		return "", nil
	}
	if name, ok := strings.CutPrefix(*s.text, "env:"); ok {
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("discovery: a secret refers to the environment variable %q, which is not set", name)
		}
		return value, nil
	}
	if path, ok := strings.CutPrefix(*s.text, "file:"); ok {
		value, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("discovery: a secret refers to a file that cannot be read: %w", err)
		}
		return strings.TrimRight(string(value), "\r\n"), nil
	}
	return *s.text, nil
}

// String returns "xxxxx" if there is a secret, else "".
func (s Secret) String() string {
	if !s.IsSet() {
		return ""
	}
	return "xxxxx"
}

// GoString shows no more than String does.
func (s Secret) GoString() string { return "discovery.Secret(" + s.String() + ")" }

// MarshalText shows no more than String does, so that no log or dump has the
// secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText makes s what [NewSecret] returns of the text, for configurations in
// JSON, YAML and the like. What MarshalText has written is no secret any more.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

// IsZero reports whether there is none, for the option omitzero of encoding/json.
func (s Secret) IsZero() bool { return !s.IsSet() }
