package static

import (
	"errors"
	"strings"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// Opener opens URLs that list the servers themselves, for a [discovery.Mux]:
//
//	static://10.0.0.1:9090,10.0.0.2:9090
//
// The URLs have no parameters.
func Opener(*discovery.Params) discovery.Backend { return backend{} }

type backend struct{}

func (backend) Watcher(u *discovery.URL) (discovery.Watcher, error) {
	if u.User != "" || u.Password.IsSet() || strings.Trim(u.Path, "/") != "" {
		return nil, errors.New("a static list has neither user nor path, only hosts")
	}
	w := Watcher(u.Hosts...)
	return w, w.Validate()
}
