package callee_test

import (
	"reflect"
	"testing"

	"github.com/minicaptain/multi_connection_pool/internal/callee"
)

func TestFunctionsAreToldApartByWhereTheyWereWritten(t *testing.T) {
	n := 0
	var same []func()
	for k := range 2 {
		same = append(same, func() { n += k })
	}
	f, g, h := same[0], same[1], func() { n-- }
	if callee.Of(&f) != callee.Of(&g) {
		t.Error("two closures of one place differ")
	}
	if callee.Of(&f) == callee.Of(&h) {
		t.Error("two functions have the same code")
	}
	for _, fn := range []func(){f, h} {
		if got, want := callee.Of(&fn), reflect.ValueOf(fn).Pointer(); got != want {
			t.Errorf("the code is at %x, package reflect says %x", got, want)
		}
	}
	m := t.Name // a method value
	if callee.Of(&m) == 0 {
		t.Error("a method value has no code")
	}
}
