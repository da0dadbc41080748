// The kube-apiserver command is that of Kubernetes, for the tests of
// discovery/kubernetes. Its module replaces those of its own repository by folders,
// which does not count where it is required by another: go.mod names their versions.
package main

import (
	"os"

	"k8s.io/component-base/cli"
	"k8s.io/kubernetes/cmd/kube-apiserver/app"
)

func main() { os.Exit(cli.Run(app.NewAPIServerCommand())) }
