// Notice writes NOTICE: the licences of the modules that those of this repository
// link to, from the module cache. It counts what packages import on Linux, macOS and
// Windows, without tests, and leaves out the modules that nobody imports: examples,
// integration, bench and tools. Without -write it fails if NOTICE is not that.
//
//	go run ./notice [-write] <root of the repository>
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const own = "github.com/minicaptain/multi_connection_pool"

func main() {
	write := flag.Bool("write", false, "write NOTICE")
	flag.Parse()
	if err := run(flag.Arg(0), *write); err != nil {
		fmt.Fprintln(os.Stderr, "notice:", err)
		os.Exit(1)
	}
}

func run(root string, write bool) error {
	linked, err := modules(root)
	if err != nil {
		return err
	}
	want, err := compose(linked)
	if err != nil {
		return err
	}
	file := filepath.Join(root, "NOTICE")
	if write {
		return os.WriteFile(file, want, 0o644) //nolint:gosec // everybody may read it
	}
	have, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var wrong []error
	for _, path := range slices.Sorted(maps.Keys(linked)) {
		if !bytes.Contains(have, []byte("\n    "+path+"\n")) {
			wrong = append(wrong, fmt.Errorf("%s is missing", path))
		}
	}
	if len(wrong) == 0 && !bytes.Equal(have, want) {
		wrong = append(wrong, errors.New("a licence has changed, or a module is not linked any more"))
	}
	if len(wrong) > 0 {
		return fmt.Errorf("NOTICE is out of date: make notice\n%w", errors.Join(wrong...))
	}
	return nil
}

// modules returns the folders of the modules that are linked, by path.
func modules(root string) (map[string]string, error) {
	work, err := os.ReadFile(filepath.Join(root, "go.work"))
	if err != nil {
		return nil, err
	}
	linked := make(map[string]string)
	for _, dir := range strings.Fields(string(work)) {
		if !strings.HasPrefix(dir, "./") || dir == "./examples" || dir == "./integration" {
			continue
		}
		for _, system := range []string{"linux", "darwin", "windows"} {
			list := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{.Path}} {{.Dir}}{{end}}", "./...")
			list.Dir = filepath.Join(root, dir)
			list.Env = append(os.Environ(), "GOWORK=off", "CGO_ENABLED=0", "GOOS="+system)
			list.Stderr = os.Stderr
			out, err := list.Output()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", dir, err)
			}
			for line := range strings.Lines(string(out)) {
				if path, dir, ok := strings.Cut(strings.TrimSpace(line), " "); ok && !strings.HasPrefix(path, own) {
					linked[path] = dir
				}
			}
		}
	}
	return linked, nil
}

// compose returns the content of NOTICE, in which modules with the same text share
// it.
func compose(linked map[string]string) ([]byte, error) {
	users := make(map[string][]string) // modules by text
	for _, path := range slices.Sorted(maps.Keys(linked)) {
		text, err := licence(linked[path])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		users[text] = append(users[text], path)
	}
	texts := slices.SortedFunc(maps.Keys(users), func(a, b string) int { return strings.Compare(users[a][0], users[b][0]) })
	var b bytes.Buffer
	b.WriteString("The licences of the modules that packages of this repository link to. The root module\nlinks to none. Made by make notice; do not edit.\n")
	for _, text := range texts {
		fmt.Fprintf(&b, "\n%s\n\n", strings.Repeat("=", 80))
		for _, path := range users[text] {
			fmt.Fprintf(&b, "    %s\n", path)
		}
		fmt.Fprintf(&b, "\n%s\n", text)
	}
	return b.Bytes(), nil
}

// licence returns the texts of the licences and notices of a module.
func licence(dir string) (string, error) {
	files, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var texts []string
	found := false
	for _, f := range files {
		name := strings.ToUpper(f.Name())
		isLicence := strings.HasPrefix(name, "LICENSE") || strings.HasPrefix(name, "LICENCE") || strings.HasPrefix(name, "COPYING")
		if f.IsDir() || !isLicence && !strings.HasPrefix(name, "NOTICE") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return "", err
		}
		found = found || isLicence
		texts = append(texts, strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n")))
	}
	if !found {
		return "", errors.New("no licence is found")
	}
	return strings.Join(texts, "\n\n"), nil
}
