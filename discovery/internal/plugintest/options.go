// Package plugintest has what the tests of the registry plugins share.
package plugintest

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/minicaptain/multi_connection_pool/discovery"
)

// CheckMissingFiles checks that a secret or a certificate that is not there is an
// error when a watcher or registrar is opened. opener is the plugin's.
func CheckMissingFiles(t *testing.T, opener discovery.Opener) {
	t.Helper()
	var mux discovery.Mux
	mux.Handle("plugin", opener)
	for _, c := range []struct{ query, want string }{
		{"credentials=file:/no/such/file", "/no/such/file"},
		{"credentials=env:NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE"},
		{"tls=true&tls_ca=/no/such/file", "/no/such/file"},
		{"tls=true&tls_cert=/no/such/file&tls_key=/no/such/file", "/no/such/file"},
	} {
		url := "plugin://127.0.0.1:1/echo?" + c.query
		for _, err := range open(&mux, url) {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want one that names %s", url, err, c.want)
			}
		}
	}
}

// CheckPlaintext checks that credentials which would cross a network in plain text
// are an error when a watcher or registrar is opened, unless that is allowed, and
// that they may go to the program's own host. opener is the plugin's.
func CheckPlaintext(t *testing.T, opener discovery.Opener) {
	t.Helper()
	var mux discovery.Mux
	mux.Handle("plugin", opener)
	const withPassword = "/echo?credentials=user:s3cr3t" //nolint:gosec // of no registry
	for _, host := range []string{"10.0.0.1", "[fd00::1]:1", "registry.test:1", "localhost.test"} {
		for _, err := range open(&mux, "plugin://"+host+withPassword) {
			if err == nil || !strings.Contains(err.Error(), "allow_plaintext_credentials=true") || strings.Contains(err.Error(), "s3cr3t") {
				t.Errorf("%s: error %v, want one that names the parameter, and no secret", host, err)
			}
		}
		for _, query := range []string{withPassword + "&allow_plaintext_credentials=true", withPassword + "&tls=true", "/echo"} {
			for _, err := range open(&mux, "plugin://"+host+query) {
				if err != nil {
					t.Errorf("%s%s: %v", host, query, err)
				}
			}
		}
	}
	for _, host := range []string{"127.0.0.1:1", "[::1]", "localhost"} {
		for _, err := range open(&mux, "plugin://"+host+withPassword) {
			if err != nil {
				t.Errorf("%s: %v", host, err)
			}
		}
	}
}

// open returns the errors of a watcher and, if the plugin registers servers, of a
// registrar.
func open(mux *discovery.Mux, url string) []error {
	_, werr := mux.Open(url)
	_, rerr := mux.OpenRegistrar(url)
	if errors.Is(rerr, errors.ErrUnsupported) {
		return []error{werr}
	}
	return []error{werr, rerr}
}

// CheckOptions checks the table "Options and URL parameters" in doc.go of the
// plugin in the current folder against its options and its parameters: the
// table has each of them, the parameters in order and with their defaults, and
// a parameter has the name of its option. It calls [CheckParameters] too. opener is
// the plugin's.
func CheckOptions(t *testing.T, opener discovery.Opener) {
	t.Helper()
	CheckParameters(t, opener)
	var mux discovery.Mux
	mux.Handle("plugin", opener)
	var inTable []discovery.Param
	var options []string
	option := ""
	for _, row := range table(t) {
		if len(row) == 3 {
			option = row[0]
		}
		name, def := row[len(row)-2], row[len(row)-1]
		if name != "-" {
			inTable = append(inTable, discovery.Param{Name: name, Default: strings.TrimPrefix(def, "-")})
		}
		if len(row) < 3 || option == "-" {
			continue
		}
		options = append(options, option)
		if want := snakeCase(strings.TrimPrefix(option, "With")); name != want && name != "-" {
			t.Errorf("the option %s has the parameter %q, want %q", option, name, want)
		}
	}
	params := mux.Params("plugin")
	for i, p := range params {
		if p.Doc == "" {
			t.Errorf("the parameter %q has no documentation", p.Name)
		}
		params[i] = discovery.Param{Name: p.Name, Default: p.Default}
	}
	if !slices.Equal(params, inTable) {
		t.Errorf("the parameters are\n%q, the table in doc.go has\n%q", params, inTable)
	}
	if all := exportedOptions(t); !slices.Equal(slices.Sorted(slices.Values(options)), all) {
		t.Errorf("the options are %q, the table in doc.go has %q", all, options)
	}
}

// table returns the rows below the heading "option parameter default". A row
// without an option has two fields.
func table(t *testing.T) (rows [][]string) {
	t.Helper()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for line := range strings.Lines(string(doc)) {
		fields := strings.Fields(strings.TrimPrefix(line, "//"))
		switch {
		case slices.Equal(fields, []string{"option", "parameter", "default"}):
			found = true
		case found && len(fields) < 2:
			return rows
		case found:
			rows = append(rows, fields)
		}
	}
	t.Fatal("doc.go has no table of options")
	return nil
}

// exportedOptions returns the names of the functions in the current folder
// that return an Option.
func exportedOptions(t *testing.T) (names []string) {
	t.Helper()
	//nolint:staticcheck // types and build tags do not matter
	pkgs, err := parser.ParseDir(token.NewFileSet(), ".", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, pkg := range pkgs {
		ast.Inspect(pkg, func(n ast.Node) bool {
			f, ok := n.(*ast.FuncDecl)
			if !ok || f.Recv != nil || !f.Name.IsExported() || f.Type.Results == nil {
				return true
			}
			if result, ok := f.Type.Results.List[0].Type.(*ast.Ident); ok && result.Name == "Option" {
				names = append(names, f.Name.Name)
			}
			return true
		})
	}
	slices.Sort(names)
	return names
}

// snakeCase returns "session_timeout" for "SessionTimeout" and "ttl" for "TTL".
func snakeCase(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 && unicode.IsLower(rune(name[i-1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
