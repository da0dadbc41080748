package main

import (
	"strings"
	"testing"
)

func TestRegistryThatWasNotBuiltInSaysHowToGetIt(t *testing.T) {
	if hasRegistries {
		t.Skip("they were built in, by -tags registries")
	}
	for _, name := range []string{"etcd", "zk", "consul", "etcd://127.0.0.1:2379/x"} {
		_, err := startRegistry(name)
		if err == nil || !strings.Contains(err.Error(), "make run REGISTRY="+name) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestWithoutARegistryThereIsNothingToStartOrLeave(t *testing.T) {
	r, err := startRegistry("")
	if err != nil || !r.none() {
		t.Fatalf("got %+v, %v", r, err)
	}
	leave, err := r.register("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	leave()
	r.stop()
}
