package discovery

import (
	"fmt"
	"os"
	"strings"
)

// Secret is a password or token, or where to find it: "env:NAME" is the
// environment variable NAME, "file:PATH" the content of a file without the
// newlines at its end, and any other text is the secret itself. It is never
// printed. The zero Secret is not set.
type Secret struct {
	// A pointer, so that fmt, which calls no method of unexported fields,
	// shows nothing of a Secret that is one.
	text *string
}

// NewSecret returns the secret that text is, or refers to.
func NewSecret(text string) Secret { return Secret{&text} }

// IsSet reports whether there is a secret.
func (s Secret) IsSet() bool { return s.text != nil }

// Value returns the secret, which it looks up at each call, so that a secret
// that was changed where it is kept is used from then on; empty if it is not
// set. A reference to a variable or a file that is not there is an error.
func (s Secret) Value() (string, error) {
	if s.text == nil {
		return "", nil
	}
	if name, ok := strings.CutPrefix(*s.text, "env:"); ok {
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("discovery: a secret is in the environment variable %q, which is not set", name)
		}
		return value, nil
	}
	if path, ok := strings.CutPrefix(*s.text, "file:"); ok {
		value, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("discovery: a secret is in a file that cannot be read: %w", err)
		}
		return strings.TrimRight(string(value), "\r\n"), nil
	}
	return *s.text, nil
}

// String shows whether there is a secret.
func (s Secret) String() string {
	if s.text == nil {
		return ""
	}
	return "xxxxx"
}

// GoString shows no more than String.
func (s Secret) GoString() string { return "discovery.Secret(" + s.String() + ")" }

// MarshalText writes no more than String, so that no log or dump has it.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
