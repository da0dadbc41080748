// Package report writes the Markdown reports of the bench programs.
package report

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Main is the rest of a program whose own flags are declared: it parses the flags and lets write write the report to
// standard output and, with -o, to a file. An error ends the program.
func Main(write func(w io.Writer) error) {
	file := flag.String("o", "", "write the report to this `file` as well")
	flag.Parse()
	if err := To(os.Stdout, *file, write); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", filepath.Base(os.Args[0]), err)
		os.Exit(1)
	}
}

// To lets write write the report to stdout piece by piece and, unless file is empty, writes the whole to the file.
func To(stdout io.Writer, file string, write func(w io.Writer) error) error {
	var text bytes.Buffer
	if err := write(io.MultiWriter(stdout, &text)); err != nil || file == "" {
		return err
	}
	return os.WriteFile(file, text.Bytes(), 0o644)
}

// Verdict is the last cell of a row with a target.
func Verdict(met bool) string {
	if met {
		return "met"
	}
	return "**missed**"
}
