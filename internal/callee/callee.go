// Package callee tells functions apart.
package callee

import "unsafe"

// Of returns the address of the code of *fn, which must be a function and not nil:
// closures of the same place have the same, except where the compiler has inlined it
// in several. Unlike package reflect it leaves the closure on the stack.
func Of[F any](fn *F) uintptr {
	return **(**uintptr)(unsafe.Pointer(fn)) //nolint:gosec // a function is a pointer to where its code pointer is
}
