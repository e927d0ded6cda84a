package ctl

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// terminal returns standard input if a person sits at it.
func terminal(cmd *cobra.Command) (*os.File, bool) {
	f, ok := cmd.InOrStdin().(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks before something is taken away. Without a terminal it needs yes.
func confirm(cmd *cobra.Command, yes bool, question string) error {
	if yes {
		return nil
	}
	in, ok := terminal(cmd)
	if !ok {
		return usage("%s Pass --yes, as there is no terminal to ask on", question)
	}
	answer, err := ask(cmd.ErrOrStderr(), in, question+" [y/N] ")
	if err != nil {
		return err
	}
	if a := strings.ToLower(answer); a != "y" && a != "yes" {
		return errDeclined
	}
	return nil
}

func ask(w io.Writer, in io.Reader, question string) (string, error) {
	_, _ = fmt.Fprint(w, clean(question))
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && (line == "" || !errors.Is(err, io.EOF)) {
		return "", err
	}
	return strings.TrimSpace(line), nil
}

// secret reads a password: from standard input if fromStdin, else by a prompt without echo, twice if it is a new one.
// It is never taken from the command line, which other users of the machine can read.
func secret(cmd *cobra.Command, what, flag string, fromStdin, isNew bool) (string, error) {
	if fromStdin {
		raw, err := readAll(cmd.InOrStdin())
		if err != nil {
			return "", err
		}
		s := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
		if s == "" {
			return "", usage("standard input holds no %s", what)
		}
		return s, nil
	}
	in, ok := terminal(cmd)
	if !ok {
		return "", usage("pass the %s on standard input with %s, as there is no terminal to ask on", what, flag)
	}
	read := func(label string) (string, error) {
		_, _ = fmt.Fprintf(cmd.ErrOrStderr(), "%s: ", label)
		raw, err := term.ReadPassword(int(in.Fd()))
		_, _ = fmt.Fprintln(cmd.ErrOrStderr())
		return string(raw), err
	}
	first, err := read(strings.ToUpper(what[:1]) + what[1:])
	if err != nil {
		return "", err
	}
	if first == "" {
		return "", usage("the %s is empty", what)
	}
	if isNew {
		second, err := read("Again")
		if err != nil {
			return "", err
		}
		if first != second {
			return "", usage("the two do not match")
		}
	}
	return first, nil
}
