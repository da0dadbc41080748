//go:build unix

package main

import (
	"os"
	"os/exec"
	"syscall"
)

// ownGroup makes the command the leader of a process group, which kill ends as a whole, and
// which Ctrl-C does not reach: the server leaves the registry before it is stopped.
func ownGroup(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// terminate asks the command to end. What it has started is its own to stop.
func terminate(cmd *exec.Cmd) { _ = cmd.Process.Signal(syscall.SIGTERM) }

// kill ends what is left of the group.
func kill(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }

// status is the exit code by which a shell would report the end of the command.
func status(p *os.ProcessState) int {
	if w, ok := p.Sys().(syscall.WaitStatus); ok && w.Signaled() {
		return 128 + int(w.Signal())
	}
	return p.ExitCode()
}
