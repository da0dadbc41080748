package main

import (
	"errors"
	"flag"
	"io"
	"strings"
	"testing"
	"time"
)

func TestDefaultsAreValid(t *testing.T) {
	o, err := parse(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if want := (options{12 * time.Second, 3, 16, 2000, 100, "", "127.0.0.1:0", 0}); o != want {
		t.Errorf("got %+v, want %+v", o, want)
	}
}

func TestRunIsDescribedWithoutThePasswordOfItsRegistry(t *testing.T) {
	o, err := parse([]string{"-registry", "etcd://root:secret@127.0.0.1:2379/x"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if s := o.String(); !strings.Contains(s, "found through etcd") || strings.Contains(s, "secret") {
		t.Errorf("described as %q", s)
	}
}

func TestEachBadFlagIsNamed(t *testing.T) {
	for args, want := range map[string]string{
		"-duration=10ms":            "-duration 10ms",
		"-duration=soon":            `invalid value "soon"`,
		"-servers=1":                "-servers 1",
		"-concurrency=0":            "-concurrency 0",
		"-rate=-1":                  "-rate -1",
		"-size=-1":                  "-size -1",
		"-slow=2s":                  "-slow 2s",
		"-verbose":                  "-verbose",
		"now":                       `unexpected argument ["now"]`,
		"-servers=0 -concurrency=0": "-servers 0: must be from 2 (one has to take over) to 100\n-concurrency 0",
	} {
		_, err := parse(strings.Fields(args), io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want one with %q", args, err, want)
		}
	}
}

func TestHelpIsNoMistake(t *testing.T) {
	var out strings.Builder
	if _, err := parse([]string{"-h"}, &out); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), "-concurrency") {
		t.Errorf("printed %q", out.String())
	}
}
