// Package echo is a small Thrift service. The examples, tests and benchmarks of
// this repository call it, and a program that tries thriftpool out can do so
// without the Thrift compiler. The package may change with any release.
//
// Its code is generated from echo.thrift by the Thrift compiler 0.25, the first whose code
// limits depths is 0.24; [Service]
// is an implementation.
package echo

//go:generate thrift --gen go:skip_remote -out .. echo.thrift
//go:generate gofmt -w .
