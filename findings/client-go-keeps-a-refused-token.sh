#!/usr/bin/env bash
# client-go: a token that the API server refuses is sent again, though the file has a new one.
#
# One would expect: rest.Config.BearerTokenFile is read again when the API server answers
# 401. Package transport has what that takes, ResetTokenOlderThan, and calls it after a
# 401 for other sources of tokens.
#
# What happens: with BearerTokenFile the file is read every 50 s, and a 401 changes
# nothing: a program whose token was revoked, and replaced in the file, is refused until
# then.
#
# Version: k8s.io/client-go v0.36.3, go1.26.8. Seen on 2026-11-28:
#   the new token is sent after 50 s, 50 requests with the old one
#
# The script fails if that changes.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"k8s.io/client-go/rest"
)

func main() {
	valid := "old"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+valid {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	write("old")
	client, err := rest.HTTPClientFor(&rest.Config{Host: server.URL, BearerTokenFile: "token"})
	if err != nil {
		panic(err)
	}
	if status := get(client, server.URL); status != http.StatusOK {
		panic(status)
	}
	write("new")
	valid = "new"
	refused := 0
	for begun := time.Now(); ; time.Sleep(time.Second) {
		if get(client, server.URL) == http.StatusOK {
			fmt.Printf("the new token is sent after %.0f s, %d requests with the old one\n", time.Since(begun).Seconds(), refused)
			return
		}
		refused++
	}
}

func write(token string) {
	if err := os.WriteFile("token", []byte(token), 0o600); err != nil {
		panic(err)
	}
}

func get(c *http.Client, url string) int {
	resp, err := c.Get(url)
	if err != nil {
		panic(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}
GO
go mod init finding >/dev/null 2>&1
go get k8s.io/client-go@v0.36.3 >/dev/null 2>&1
go mod tidy >/dev/null 2>&1
out=$(go run .)
echo "$out"
[[ $out =~ after\ ([0-9]+)\ s ]] && ((BASH_REMATCH[1] > 30))
