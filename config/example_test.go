package config_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/minicaptain/multi_connection_pool/config"
	"github.com/minicaptain/multi_connection_pool/core/pooltest"
	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
)

// A pool is made of a file, and of environment variables that have the last word.
func ExampleNewPool() {
	dir, err := os.MkdirTemp("", "config")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "echo.json")
	if err := os.WriteFile(path, []byte(`{"registry": "static://10.0.0.1:9090,10.0.0.2:9090", "idle_timeout": "1m"}`), 0o600); err != nil {
		log.Println(err)
		return
	}

	var mux discovery.Mux // the registries that this program is built with
	mux.Handle("static", static.Opener)
	dialer := pooltest.NewFleet() // in a program: the dialer of its protocol

	pool, err := config.NewPool(config.Source{File: path, Prefix: "ECHO_"}, &mux, dialer)
	if err != nil {
		log.Println(err) // it says what to write instead
		return
	}
	err = pool.WaitReady(context.Background())
	fmt.Println(pool.Len(), "servers", err, pool.Close(context.Background()))
	// Output: 2 servers <nil> <nil>
}

// The error names every mistake, and what to write instead. YAML is read by the program's
// own library: yaml.Unmarshal in place of json.Unmarshal.
func ExampleParse() {
	_, err := config.Parse([]byte(`{"max_active": "64", "idle_timeout": 60}`), json.Unmarshal)
	fmt.Println(err)
	// Output:
	// config: idle_timeout is the number 60: write a duration with its unit and in quotes, such as "5s"
	// config: max_active is the text "64": write the number without quotes
}

// A Config may be part of a program's own configuration.
func ExampleConfig() {
	var own struct {
		Listen string
		Echo   config.Config
	}
	if err := json.Unmarshal([]byte(`{"Listen": ":80", "Echo": {"registry": "zk://user:s3cr3t@h1/services/echo", "max_active": 64}}`), &own); err != nil {
		log.Fatal(err)
	}
	fmt.Println(own.Echo) // without the password
	// Output: registry=zk://user:xxxxx@h1/services/echo max_active=64
}
