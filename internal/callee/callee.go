// Package callee tells functions apart.
package callee

import (
	"runtime"
	"unsafe"
)

// mark begins the names that this package makes, which nobody reads.
const mark = "func "

// Of returns the address of the code of *fn, which must be a function and not nil:
// closures of the same place have the same, except where the compiler has inlined it
// in several. Unlike package reflect it leaves the closure on the stack.
func Of[F any](fn *F) uintptr {
	return **(**uintptr)(unsafe.Pointer(fn)) //nolint:gosec // a function is a pointer to where its code pointer is
}

// Method returns a name for what a function calls that has no name for it.
func Method(code uintptr) string { return mark + runtime.FuncForPC(code).Name() }

// Given reports whether a name is one that somebody has given, and not of [Method].
func Given(name string) bool { return len(name) < len(mark) || name[:len(mark)] != mark }
