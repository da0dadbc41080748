package main

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"strings"

	zookeeper "github.com/go-zookeeper/zk"
	consulapi "github.com/hashicorp/consul/api"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
)

// finding is what an error of a plugin means.
type finding struct {
	step   string // that has failed; empty for the one under way
	advice string
	tls    bool // the servers may speak TLS, which the URL does not ask for
}

// diagnose says what the error means that a registry of the scheme has ended a watch with.
func diagnose(scheme string, err error) finding {
	const (
		password   = "The registry does not know this user, or the password is wrong: check both, and the secret that the URL refers to."
		permission = "The user is known and may not read this place: grant it reading, or use another user or path."
	)
	var status consulapi.StatusError
	switch {
	case errors.Is(err, zookeeper.ErrAuthFailed), errors.Is(err, rpctypes.ErrAuthFailed):
		return finding{step: "login", advice: password}
	case errors.Is(err, rpctypes.ErrUserEmpty):
		return finding{step: "login", advice: "The registry wants a user and a password: etcd://USER:env%3ANAME@HOST/..."}
	case errors.Is(err, zookeeper.ErrNoAuth):
		return finding{advice: "No permission to read this node. ZooKeeper takes every user and password, so a wrong one shows only here, too: " +
			"compare the node's ACL (getAcl) with the user of the URL."}
	case errors.Is(err, rpctypes.ErrPermissionDenied):
		return finding{advice: permission}
	case errors.As(err, &status) && status.Code == http.StatusForbidden && strings.Contains(status.Body, "ACL not found"):
		return finding{step: "login", advice: "Consul does not know this token: check the parameter credentials, CONSUL_HTTP_TOKEN and CONSUL_HTTP_TOKEN_FILE."}
	case errors.As(err, &status) && status.Code == http.StatusForbidden, scheme == "consul" && strings.Contains(err.Error(), "may not read"):
		return finding{advice: "The token may not read this service: give its policy service and node read, or use another token."}
	case errors.Is(err, fs.ErrNotExist):
		return finding{advice: "The file does not exist: check the path; file:// URLs have three slashes, file:///etc/servers."}
	case errors.Is(err, fs.ErrPermission):
		return finding{advice: "This user may not read the file: see its mode and owner."}
	case scheme == "file":
		return finding{advice: "Correct the file; the documentation of package discovery/file describes it."}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), strings.Contains(err.Error(), "not answered"),
		strings.Contains(err.Error(), "no answer"): // of the plugins
		return finding{tls: true, advice: "It accepts connections and does not answer: it hangs, has no leader or quorum, or is another kind of server. Look at its log."}
	default:
		return finding{tls: true, advice: "The error is the registry's own. Look at its log, and whether the port is that of this kind of registry."}
	}
}
