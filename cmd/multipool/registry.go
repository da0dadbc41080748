package main

import (
	"github.com/spf13/cobra"

	"github.com/minicaptain/multi_connection_pool/discovery"
	"github.com/minicaptain/multi_connection_pool/discovery/consul"
	"github.com/minicaptain/multi_connection_pool/discovery/dns"
	"github.com/minicaptain/multi_connection_pool/discovery/etcd"
	"github.com/minicaptain/multi_connection_pool/discovery/file"
	"github.com/minicaptain/multi_connection_pool/discovery/kubernetes"
	"github.com/minicaptain/multi_connection_pool/discovery/static"
	"github.com/minicaptain/multi_connection_pool/discovery/xds"
	"github.com/minicaptain/multi_connection_pool/discovery/zk"
)

// registries has every scheme of this repository.
func registries() *discovery.Mux {
	var m discovery.Mux
	m.Handle("static", static.Opener)
	m.Handle("file", file.Opener)
	m.Handle("dns", dns.Opener)
	m.Handle("zk", zk.Opener)
	m.Handle("etcd", etcd.Opener)
	m.Handle("consul", consul.Opener)
	m.Handle("k8s", kubernetes.Opener)
	m.Handle("xds", xds.Opener)
	return &m
}

// openWatcher opens a registry; its error is one of the command line.
func openWatcher(url string) (discovery.Watcher, error) {
	w, err := registries().Open(url)
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	return w, nil
}

// openRegistrar is openWatcher for what registers.
func openRegistrar(url string) (discovery.Registrar, error) {
	r, err := registries().OpenRegistrar(url)
	if err != nil {
		return nil, exit(exitUsage, err)
	}
	return r, nil
}

// completeURL completes the schemes of a URL, of the arguments before the most-th.
func completeURL(most int) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var all []cobra.Completion
		for _, s := range registries().Schemes() {
			all = append(all, s+"://")
		}
		return all, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
	}
}
