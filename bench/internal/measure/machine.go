package measure

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Conditions says in Markdown where, when and by which command a table was measured.
func Conditions() string {
	command := append([]string{filepath.Base(os.Args[0])}, os.Args[1:]...)
	return fmt.Sprintf("%s, %d cores, GOMAXPROCS %d, %s %s/%s, %s.\nCommand: `%s`%s.\n",
		cpuModel(), runtime.NumCPU(), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS, runtime.GOARCH,
		time.Now().UTC().Format("2006-01-02 15:04 MST"), strings.Join(command, " "), priority())
}

// priority says, on Linux, that chrt or nice let this program run before others.
func priority() string {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return ""
	}
	const niceness, policy = 19 - 3, 41 - 3 // their numbers in proc(5), from behind the name
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	switch {
	case len(fields) <= policy:
		return ""
	case fields[policy] == "1" || fields[policy] == "2":
		return ", with real-time priority"
	case strings.HasPrefix(fields[niceness], "-"):
		return ", at nice " + fields[niceness]
	default:
		return ""
	}
}

// cpuModel returns what Linux calls the processor.
func cpuModel() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown CPU"
	}
	for line := range strings.Lines(string(info)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown CPU"
}
