// Command compare says whether one commit of this repository is slower than another. It builds bench, or bench/pick, of
// both, lets the programs take turns, and prints the ratio of each figure and the allocations in Markdown.
//
//	go run ./compare [-pick] [-cases regexp] [-rounds n] [-slice duration] [-o file] old [new]
//
// Without new it compares the working tree, committed or not.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/minicaptain/multi_connection_pool/bench/internal/measure"
	"github.com/minicaptain/multi_connection_pool/bench/internal/report"
)

func main() {
	pick := flag.Bool("pick", false, "compare bench/pick instead of bench")
	cases := flag.String("cases", "", "run only the cases of bench whose name matches this regular `expression`")
	set := measure.Flags(20, 20*time.Millisecond)
	report.Main(func(w io.Writer) error {
		if n := flag.NArg(); n < 1 || n > 2 {
			return fmt.Errorf("%d arguments, want the old commit and perhaps the new one", n)
		}
		folder, err := os.MkdirTemp("", "compare")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		// An interrupt ends the commands that run, so that the worktrees are removed.
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		var both [2]program
		for i := range both {
			if both[i], err = build(ctx, filepath.Join(folder, strconv.Itoa(i)), flag.Arg(i), *pick); err != nil {
				return err
			}
		}
		flags, each := []string{"-rounds", "1", "-slice", set.Slice.String()}, [][]string{nil}
		if canChoose(both[0]) && canChoose(both[1]) {
			flags = append(flags, "-contenders", "^(multipool|puddle)$") // the peer shows the noise
		}
		if !*pick {
			if each, err = casesOf(both[1], flags, *cases); err != nil {
				return err
			}
		}
		fmt.Fprintf(w, "# New to old\n\n%s%d rounds, %v per turn; medians, and the ratios inside each round.\n\n",
			measure.Conditions(), set.Rounds, set.Slice)
		return compare(w, both, set.Rounds, flags, each)
	})
}

// program is a build of bench or bench/pick. It runs with the given flags and returns the report.
type program func(args ...string) (string, error)

// build builds the program of a commit, in a worktree in a folder, or of the working tree if commit is empty.
func build(ctx context.Context, folder, commit string, pick bool) (program, error) {
	root, err := run(ctx, "git", "rev-parse", "--show-toplevel")
	root = strings.TrimSpace(root)
	if err == nil && commit != "" {
		root = folder
		_, err = run(ctx, "git", "worktree", "add", "--detach", folder, commit)
		defer func() { _, _ = run(context.WithoutCancel(ctx), "git", "worktree", "remove", "--force", folder) }()
	}
	if err != nil {
		return nil, err
	}
	binary, source := folder+".bin", "."
	if pick {
		source = "./pick"
	}
	if _, err := run(ctx, "go", "-C", filepath.Join(root, "bench"), "build", "-o", binary, source); err != nil {
		return nil, err
	}
	return func(args ...string) (string, error) { return run(ctx, binary, args...) }, nil
}

// run runs a command and returns what it prints. Its error says what the command said.
func run(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var out, said strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", cmd, err, &said)
	}
	return out.String(), nil
}

// casesOf returns the flags for each of a program's cases that match.
func casesOf(p program, flags []string, match string) (each [][]string, err error) {
	text, err := p(slices.Concat(flags, []string{"-cases", match})...)
	if err != nil {
		return nil, err
	}
	for _, heading := range regexp.MustCompile(`(?m)^## (.+)$`).FindAllStringSubmatch(text, -1) {
		each = append(each, []string{"-cases", "^" + regexp.QuoteMeta(heading[1]) + "$"})
	}
	return each, nil
}

// compare lets the programs, old and new, take turns case by case, by the flags of each, and writes the table.
func compare(w io.Writer, both [2]program, rounds int, flags []string, each [][]string) error {
	all := newFigures()
	for round := range rounds {
		for _, c := range each {
			for i := range measure.Turns(2, round) {
				text, err := both[i](slices.Concat(flags, c)...)
				if err != nil {
					return err
				}
				all.add(i, text)
			}
		}
	}
	all.table(w)
	return nil
}

// canChoose reports whether a program can run some of its contenders only.
func canChoose(p program) bool {
	_, err := p("-contenders", "(") // if it knows the flag, it cannot parse this
	return err != nil && strings.Contains(err.Error(), "missing closing )")
}
