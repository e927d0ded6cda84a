package ctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

// edit changes an object by patch, or, when that is empty, by what a person makes of its document in $EDITOR. It returns
// the object as it is when nothing was changed.
func edit[S, O any](ctx context.Context, cmd *cobra.Command, p *printer, k *kind, in *client.Collection[S, O], o O, meta func(O) client.Meta, patch map[string]any) (O, error) {
	have, err := k.fieldsOf(o)
	if err != nil {
		return o, err
	}
	if len(patch) > 0 {
		if m, ok := patch["parameters"]; ok {
			patch["parameters"] = mergeMap(have["parameters"], m)
		}
		return patchSpec(ctx, in, meta(o), patch, meta)
	}
	if _, ok := terminal(cmd); !ok {
		return o, usage("%s: say what to change by flags, as there is no terminal for an editor", cmd.CommandPath())
	}
	text, err := k.write(have)
	if err != nil {
		return o, err
	}
	for remark := ""; ; {
		edited, file, err := runEditor(cmd, remark, text)
		if err != nil {
			return o, err
		}
		changed, err := patchFromText(k, have, edited)
		if err == nil && len(changed) == 0 {
			p.notef("Nothing was changed.\n")
			_ = os.Remove(file) // a temporary file
			return o, nil
		}
		if err == nil {
			var out O
			// A person may edit for longer than the command's own deadline.
			fresh, cancel := context.WithTimeout(context.WithoutCancel(ctx), shortTime)
			out, err = patchSpec(fresh, in, meta(o), changed, meta)
			cancel()
			if err == nil {
				_ = os.Remove(file) // a temporary file
				return out, nil
			}
		}
		if code := exitCode(err); code != exitInvalid && code != exitUsage && code != exitConflict || client.CodeOf(err) == client.CodeStale || bytes.Equal(edited, text) {
			return o, fmt.Errorf("%w\nYour text is kept in %s", err, file)
		}
		_ = os.Remove(file) // its content goes into the next one
		remark, text = err.Error(), edited
	}
}

func patchFromText(k *kind, have map[string]any, text []byte) (map[string]any, error) {
	docs, err := parseDocuments("your text", text, k)
	if err != nil {
		return nil, err
	}
	if len(docs) == 0 {
		return nil, nil // everything deleted: a way to give up, as with git
	}
	if len(docs) > 1 {
		return nil, usage("leave one document of kind %s", k.name)
	}
	return k.patchTo(have, docs[0].fields), nil
}

// runEditor opens text in the person's editor and returns what became of it, and the file that holds it. A remark stands
// above it as a comment.
func runEditor(cmd *cobra.Command, remark string, text []byte) (edited []byte, file string, err error) {
	f, err := os.CreateTemp("", "smbgw-edit-*.yaml") // mode 0600
	if err != nil {
		return nil, "", err
	}
	var b bytes.Buffer
	if remark != "" {
		for line := range strings.Lines(remark + "\n") {
			b.WriteString("# " + strings.TrimRight(clean(line), "\n") + "\n")
		}
	}
	for line := range bytes.Lines(text) {
		if !bytes.HasPrefix(line, []byte("# ")) { // remarks of the round before
			b.Write(line)
		}
	}
	_, err = f.Write(b.Bytes())
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, f.Name(), err
	}
	editor := os.Getenv("VISUAL")
	if editor == "" {
		editor = os.Getenv("EDITOR")
	}
	if editor == "" {
		editor = "vi"
	}
	// VISUAL may hold arguments, as in "code --wait"; a shell is not needed for that.
	argv := append(strings.Fields(editor), f.Name())
	run := exec.CommandContext(cmd.Context(), argv[0], argv[1:]...)
	run.Stdin, run.Stdout, run.Stderr = cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr()
	if err := run.Run(); err != nil {
		return nil, f.Name(), fmt.Errorf("the editor %s ended with an error, so nothing was changed: %w", argv[0], err)
	}
	edited, err = os.ReadFile(f.Name())
	return edited, f.Name(), err
}
