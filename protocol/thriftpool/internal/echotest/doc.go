// Package echotest holds the service that the tests of thriftpool call. Its
// code is generated from echo.thrift.
package echotest

//go:generate thrift --gen go:package_prefix=github.com/minicaptain/multi_connection_pool/protocol/thriftpool/internal/echotest/ -out . echo.thrift
//go:generate rm -r echo/echo-remote
//go:generate gofmt -w echo
