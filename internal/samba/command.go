package samba

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// DefaultTimeout ends a program that was run without a deadline of its own.
const DefaultTimeout = 60 * time.Second

// stderrTail is how many bytes of a failed program's stderr an error keeps.
const stderrTail = 2048

// ErrNotInstalled is wrapped by errors about a program that is in none of the usual places.
var ErrNotInstalled = errors.New("not installed")

// Output is what a program wrote.
type Output struct {
	Stdout, Stderr []byte
}

// CommandError is the failure of a program. Its text holds no secrets.
type CommandError struct {
	// Argv is the command with secrets replaced.
	Argv []string
	// ExitStatus is the program's, or -1 if it was killed or did not start.
	ExitStatus int
	// Stderr is the end of what the program wrote there, at most 2 KiB.
	Stderr string
	// Err is the cause: an *exec.ExitError, a context error, or why it did not start.
	Err error
}

func (e *CommandError) Error() string {
	msg := fmt.Sprintf("%s: %v", strings.Join(e.Argv, " "), e.Err)
	if s := strings.TrimSpace(e.Stderr); s != "" {
		msg += ": " + s
	}
	return msg
}

func (e *CommandError) Unwrap() error { return e.Err }

// Run runs a program of the Samba suite against this instance: with its environment and its smb.conf, in its
// directory, never through a shell. testparm alone gets no smb.conf, because it takes the file to check as an
// argument. stdin may be nil. ctx without a deadline gets [DefaultTimeout]. The error is a *[CommandError]; output is
// returned even then. Arguments are seen by every user of the machine: never put a secret there.
func (i *Instance) Run(ctx context.Context, stdin io.Reader, name string, args ...string) (Output, error) {
	return i.RunEnv(ctx, nil, stdin, name, args...)
}

// RunEnv is [Instance.Run] with more environment, as "key=value".
func (i *Instance) RunEnv(ctx context.Context, env []string, stdin io.Reader, name string, args ...string) (Output, error) {
	if name != "testparm" {
		args = append([]string{"--configfile=" + i.ConfigFile()}, args...)
	}
	argv := redact(name, args)
	program, err := Program(name)
	if err != nil {
		return Output{}, &CommandError{Argv: argv, ExitStatus: -1, Err: err}
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultTimeout)
		defer cancel()
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = append(i.Env(), env...), i.Dir, stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// SIGTERM lets a program cancel its tdb transaction; a killed one is rolled back by whoever opens the file next.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 2 * time.Second
	err = cmd.Run()
	out := Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes()}
	if err == nil {
		return out, nil
	}
	fail := &CommandError{Argv: argv, ExitStatus: -1, Stderr: tail(out.Stderr), Err: err}
	if name == "net" && fail.Stderr == "" { // net complains on stdout, and never prints a secret there
		fail.Stderr = tail(out.Stdout)
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		fail.ExitStatus = exit.ExitCode()
	}
	if ctx.Err() != nil {
		fail.Err = context.Cause(ctx)
	}
	return out, fail
}

func tail(b []byte) string {
	if len(b) > stderrTail {
		b = b[len(b)-stderrTail:]
	}
	return strings.ToValidUTF8(string(b), "?")
}

// redact replaces what follows the first % of -U or --user, which is where Samba's clients take a password.
func redact(name string, args []string) []string {
	argv := append([]string{name}, args...)
	for n, a := range argv {
		isUser := strings.HasPrefix(a, "-U") || strings.HasPrefix(a, "--user=") ||
			n > 0 && (argv[n-1] == "-U" || argv[n-1] == "--user")
		if user, _, ok := strings.Cut(a, "%"); ok && isUser {
			argv[n] = user + "%***"
		}
		if strings.HasPrefix(a, "--password=") {
			argv[n] = "--password=***"
		}
	}
	return argv
}

// Program returns the absolute path of a program of the Samba suite. A plain user's PATH often lacks the directories of
// system programs, so these are searched as well. The error wraps [ErrNotInstalled].
func Program(name string) (string, error) {
	for _, dir := range programDirs() {
		p := filepath.Join(dir, name)
		if st, err := os.Stat(p); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return p, nil
		}
	}
	return "", fmt.Errorf("%s is %w; on Debian: apt-get install samba smbclient", name, ErrNotInstalled)
}

func programDirs() []string {
	dirs := slices.DeleteFunc(filepath.SplitList(os.Getenv("PATH")), func(d string) bool { return !filepath.IsAbs(d) })
	for _, d := range []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/usr/local/samba/sbin", "/usr/local/samba/bin"} {
		if !slices.Contains(dirs, d) {
			dirs = append(dirs, d)
		}
	}
	return dirs
}
