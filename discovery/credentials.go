package discovery

import (
	"errors"
	"strings"
)

// UserPassword returns the secret "user:password". Its password is looked up at
// each use, as [Secret] says.
func UserPassword(user string, password Secret) Secret {
	return Secret{user: &user, text: password.text}
}

// Credentials declares the parameter credentials: the secret by which the
// registry knows the program. usage says what the secret consists of. See
// [URL.Credentials].
func (p *Params) Credentials(v *Secret, usage string) {
	p.Secret(v, "credentials", usage)
}

// Credentials returns the credentials of a registry whose users have a name and
// a password: what the URL has in front of its hosts, or else param, the value
// of the parameter credentials. Both at a time are an error.
func (u *URL) Credentials(param Secret) (Secret, error) {
	if u.User == "" && !u.Password.IsSet() {
		return param, nil
	}
	if param.IsSet() {
		return param, errors.New("credentials are given twice: in front of the hosts and as a parameter")
	}
	return UserPassword(u.User, u.Password), nil
}

// SplitUserPassword looks s up and returns its two parts, which a colon
// separates. Both are empty if s is not set.
func (s Secret) SplitUserPassword() (user, password string, err error) {
	both, err := s.Value()
	if err != nil || !s.IsSet() {
		return "", "", err
	}
	user, password, ok := strings.Cut(both, ":")
	if !ok || user == "" {
		return "", "", errors.New("credentials are not user:password")
	}
	return user, password, nil
}
