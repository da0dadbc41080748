package live

import (
	"embed"
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/minicaptain/multi_connection_pool/core"
)

//go:embed assets
var assets embed.FS

const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// ServeHTTP answers a request by the last element of its path.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if name == "act" {
		p.act(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "the page is read only", http.StatusMethodNotAllowed)
		return
	}
	switch name {
	case "":
		if r.URL.Path == "" { // relative URLs need the slash
			uri, _, _ := strings.Cut(r.RequestURI, "?")
			h.Set("Location", "./"+path.Base(uri)+"/")
			w.WriteHeader(http.StatusMovedPermanently)
			return
		}
		asset(w, r, "index.html", "text/html; charset=utf-8")
	case "live.js":
		asset(w, r, "live.js", "text/javascript; charset=utf-8")
	case "live.css":
		asset(w, r, "live.css", "text/css; charset=utf-8")
	case "icon.svg":
		asset(w, r, "icon.svg", "image/svg+xml")
	case "pools.json":
		p.sample()
		h.Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.document(parse(r.URL.Query()))) // the client may be gone
	case "stream":
		p.stream(w, r)
	default:
		http.NotFound(w, r)
	}
}

// asset serves a file that is part of the program. Its type does not depend on what
// the machine knows of types.
func asset(w http.ResponseWriter, r *http.Request, name, kind string) {
	w.Header().Set("Content-Type", kind)
	http.ServeFileFS(w, r, assets, "assets/"+name)
}

// act acts on a pool or one of its servers, if that is enabled.
func (p *Page) act(w http.ResponseWriter, r *http.Request) {
	if !p.actions {
		http.Error(w, "acting is not enabled", http.StatusForbidden)
		return
	}
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		http.Error(w, "acting takes a POST", http.StatusMethodNotAllowed)
		return
	}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		http.Error(w, err.Error(), http.StatusForbidden)
		return
	}
	q := r.URL.Query()
	all := p.shown()
	i := slices.IndexFunc(all, func(o *Panel) bool { return o.name == q.Get("pool") })
	if i < 0 {
		http.Error(w, "there is no such pool", http.StatusNotFound)
		return
	}
	switch err := do(all[i].source(), q.Get("do"), q.Get("server")); {
	case errors.Is(err, errUnknown):
		http.Error(w, err.Error(), http.StatusBadRequest)
	case errors.Is(err, errors.ErrUnsupported):
		http.Error(w, "this pool cannot do that", http.StatusNotImplemented)
	case errors.Is(err, core.ErrNoEndpoint):
		http.Error(w, err.Error(), http.StatusNotFound)
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
	default:
		p.changed()
		w.WriteHeader(http.StatusNoContent)
	}
}

var errUnknown = errors.New("the actions are reset, and eject, drain and readmit of a server")

// do acts on a pool, or on the server of it.
func do(pool Pool, action, server string) error {
	switch action {
	case "reset":
		if p, ok := pool.(interface{ Reset() }); ok {
			p.Reset()
			return nil
		}
	case "eject":
		if p, ok := pool.(interface{ Eject(addr string) error }); ok {
			return p.Eject(server)
		}
	case "drain":
		if p, ok := pool.(interface{ Drain(addr string) error }); ok {
			return p.Drain(server)
		}
	case "readmit":
		if p, ok := pool.(interface{ Readmit(addr string) error }); ok {
			return p.Readmit(server)
		}
	default:
		return errUnknown
	}
	return errors.ErrUnsupported
}
