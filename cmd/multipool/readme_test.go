package main_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestReadmeHasEveryCommandAndWhatItShowsIsWhatIsPrinted(t *testing.T) {
	data, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	var commands, sections []string
	for _, m := range regexp.MustCompile(`(?m)^  (\w+) +[A-Z]`).FindAllStringSubmatch(run(t, "--help").stdout, -1) {
		if m[1] != "completion" && m[1] != "help" { // of the library
			commands = append(commands, m[1])
		}
	}
	for _, m := range regexp.MustCompile(`(?m)^## (\w+)$`).FindAllStringSubmatch(text, -1) {
		sections = append(sections, m[1])
	}
	slices.Sort(sections)
	if !slices.Equal(commands, sections) {
		t.Errorf("there are the commands %q, and the sections %q", commands, sections)
	}
	took := regexp.MustCompile(`(?m)^(\w+ +\w+) +[0-9.]+[mµn]?s  `)
	examples := regexp.MustCompile("(?s)```console\n\\$ multipool ([^\n]*)\n(.*?)```").FindAllStringSubmatch(text, -1)
	for _, m := range examples {
		got := took.ReplaceAllString(run(t, strings.Fields(m[1])...).stdout, "$1  ")
		if columns(got) != columns(m[2]) {
			t.Errorf("multipool %s prints\n%s\nREADME has\n%s", m[1], got, m[2])
		}
	}
	if len(examples) < 3 {
		t.Errorf("%d examples were run", len(examples))
	}
}

// columns returns text with one space where there are several.
func columns(text string) string { return regexp.MustCompile(` +`).ReplaceAllString(text, " ") }
