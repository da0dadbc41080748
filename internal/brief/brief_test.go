package brief_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/minicaptain/multi_connection_pool/internal/brief"
)

func TestErrorOfUsualLengthStaysItself(t *testing.T) {
	for _, err := range []error{nil, io.EOF, errors.New(strings.Repeat("x", brief.MaxText))} {
		if got := brief.Error(err); got != err { //nolint:errorlint // the same, not a like one
			t.Errorf("got %v", got)
		}
	}
}

func TestTextThatIsTooLongIsCutAndTheErrorMatchesAsBefore(t *testing.T) {
	for _, unit := range []string{"x", "é", "日", "\xff"} {
		err := fmt.Errorf("%s%w, %w", strings.Repeat(unit, 1<<20), io.EOF, &fs.PathError{Op: "read", Path: "p", Err: io.ErrClosedPipe})
		got := brief.Error(err)
		if n := len(got.Error()); n > brief.MaxText+64 || n < brief.MaxText/2 || unit != "\xff" && !utf8.ValidString(got.Error()) {
			t.Errorf("%q: %d bytes, valid: %v", unit, n, utf8.ValidString(got.Error()))
		}
		if !strings.Contains(got.Error(), fmt.Sprintf("%d bytes in all", len(err.Error()))) {
			t.Errorf("%q: the length is not in the text", unit)
		}
		var path *fs.PathError
		if !errors.As(got, &path) || path.Path != "p" || !errors.Is(got, io.EOF) || !errors.Is(got, io.ErrClosedPipe) {
			t.Errorf("%q: the error does not match what it did", unit)
		}
		if again := brief.Error(fmt.Errorf("dial: %w", got)); len(again.Error()) > brief.MaxText+128 {
			t.Errorf("%q: wrapped, it has %d bytes", unit, len(again.Error()))
		}
		if brief.Text(err) != got.Error() {
			t.Errorf("%q: Text and Error differ", unit)
		}
	}
}

type broken struct{}

func (*broken) Error() string { panic("broken") }

func TestPanicOfAnErrorIsPartOfItsText(t *testing.T) {
	if got := brief.Text(&broken{}); !strings.Contains(got, "broken") {
		t.Errorf("got %q", got)
	}
}

func TestOfManyErrorsTheFirstThreeAreKeptAndTheOthersCounted(t *testing.T) {
	var none brief.Errors
	if none.Err() != nil || none.Len() != 0 {
		t.Errorf("of none: %v", none.Err())
	}
	var few, many brief.Errors
	few.Add(io.EOF)
	few.Add(io.ErrClosedPipe)
	if got, want := few.Err().Error(), errors.Join(io.EOF, io.ErrClosedPipe).Error(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for i := range 1000 {
		many.Add(fmt.Errorf("%d%s: %w", i, strings.Repeat(".", 1<<16), io.EOF))
	}
	got := many.Err()
	if many.Len() != 1000 || !errors.Is(got, io.EOF) || !strings.HasSuffix(got.Error(), "\nand 997 more") || len(got.Error()) > 4*brief.MaxText {
		t.Errorf("%d errors, %d bytes", many.Len(), len(got.Error()))
	}
}
