// Command shim runs one step of a container and keeps what BuildKit does not: its standard
// output, its standard error and its exit code, as files of their own. What it writes, to the
// files and to the build's log, is free of the secrets that the step was given.
//
// It is static and needs nothing of the image, so that images without a shell work too.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sort"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// A step is what the engine asks for, as JSON in the first argument.
type step struct {
	Args        []string `json:"args"`
	Out         string   `json:"out"`         // directory for stdout, stderr and exit
	Stdin       string   `json:"stdin"`       // file, or ""
	SecretEnv   []string `json:"secretEnv"`   // names of variables that hold secrets
	SecretFiles []string `json:"secretFiles"` // paths of files that are secrets
}

func main() {
	var s step
	if len(os.Args) != 2 || json.Unmarshal([]byte(os.Args[1]), &s) != nil || len(s.Args) == 0 {
		fmt.Fprintln(os.Stderr, "shim: one argument, a step as JSON")
		os.Exit(125)
	}
	code, err := run(s)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err := os.WriteFile(filepath.Join(s.Out, "exit"), []byte(strconv.Itoa(code)), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "shim:", err)
		code = 125
	}
	os.Exit(code)
}

func run(s step) (int, error) {
	secrets := secretsOf(s)
	stdout, err := newSink(filepath.Join(s.Out, "stdout"), os.Stdout, secrets)
	if err != nil {
		return 125, err
	}
	defer stdout.Close()
	stderr, err := newSink(filepath.Join(s.Out, "stderr"), os.Stderr, secrets)
	if err != nil {
		return 125, err
	}
	defer stderr.Close()

	cmd := exec.Command(s.Args[0], s.Args[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	// A process that the step left behind may hold the pipes; it ends with this container.
	cmd.WaitDelay = 200 * time.Millisecond
	if s.Stdin != "" {
		in, err := os.Open(s.Stdin)
		if err != nil {
			return 125, err
		}
		defer in.Close()
		cmd.Stdin = in
	}
	if err := cmd.Start(); err != nil {
		fmt.Fprintln(stderr, err)
		return 1, nil
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	go func() {
		for sig := range signals {
			_ = cmd.Process.Signal(sig)
		}
	}()
	err = cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) && !errors.Is(err, exec.ErrWaitDelay) {
		return 125, err
	}
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

func secretsOf(s step) [][]byte {
	var all [][]byte
	add := func(value []byte) {
		if value = bytes.TrimSpace(value); len(value) > 0 {
			all = append(all, value)
		}
	}
	for _, name := range s.SecretEnv {
		add([]byte(os.Getenv(name)))
	}
	for _, path := range s.SecretFiles {
		if value, err := os.ReadFile(path); err == nil {
			add(value)
		}
	}
	sort.Slice(all, func(i, j int) bool { return len(all[i]) > len(all[j]) })
	return all
}

// A sink writes to a file and to the log, secrets replaced; a secret that is split between two
// writes is found because the start of one is held back.
type sink struct {
	mu      sync.Mutex
	secrets [][]byte
	rest    []byte
	file    *os.File
	to      io.Writer
}

func newSink(path string, log io.Writer, secrets [][]byte) (*sink, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	return &sink{secrets: secrets, file: file, to: io.MultiWriter(file, log)}, nil
}

func (s *sink) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	data := append(s.rest, p...)
	keep := 0
	for _, secret := range s.secrets {
		data = bytes.ReplaceAll(data, secret, []byte("***"))
	}
	for _, secret := range s.secrets {
		for n := min(len(data), len(secret)-1); n > keep; n-- {
			if bytes.HasSuffix(data, secret[:n]) {
				keep = n
			}
		}
	}
	ready := data[:len(data)-keep]
	s.rest = append([]byte(nil), data[len(data)-keep:]...)
	if _, err := s.to.Write(ready); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (s *sink) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, _ = s.to.Write(s.rest)
	s.rest = nil
	return s.file.Close()
}
