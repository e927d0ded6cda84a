package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/client"
	"github.com/spf13/cobra"
)

// completionTime bounds how long a shell waits for names.
const completionTime = 2 * time.Second

// saved is one server as it is kept.
type saved struct {
	Server      string `json:"server"`
	Fingerprint string `json:"fingerprint,omitempty"`
	CAFile      string `json:"caFile,omitempty"`
	Token       string `json:"token,omitempty"`
}

// contexts is the file of saved servers. It holds tokens: mode 0600.
type contexts struct {
	Current  string           `json:"current,omitempty"`
	Contexts map[string]saved `json:"contexts"`
}

// contextsPath is $SMBGW_CONFIG, or smbgw/contexts.json in the user's configuration directory.
func contextsPath() (string, error) {
	if p := os.Getenv("SMBGW_CONFIG"); p != "" {
		return p, nil
	}
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("set SMBGW_CONFIG to the file for saved contexts: %w", err)
	}
	return filepath.Join(dir, "smbgw", "contexts.json"), nil
}

func loadContexts() (contexts, error) {
	cs := contexts{Contexts: map[string]saved{}}
	path, err := contextsPath()
	if err != nil {
		return cs, nil // a service without a home directory: it has no saved contexts
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return cs, nil
	}
	if err != nil {
		return cs, err
	}
	if err := json.Unmarshal(raw, &cs); err != nil {
		return cs, fmt.Errorf("%s is damaged: %w; remove it and log in again", path, err)
	}
	if cs.Contexts == nil {
		cs.Contexts = map[string]saved{}
	}
	return cs, nil
}

func (cs contexts) save() error {
	path, err := contextsPath()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	raw, err := json.MarshalIndent(cs, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".contexts-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }() // gone already, if all went well
	_, err = tmp.Write(append(raw, '\n'))
	if err = errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// client returns a client for the server that flags, environment or saved contexts name.
func (a *app) client() (*client.Client, error) {
	s, err := a.target()
	if err != nil {
		return nil, err
	}
	c, err := client.New(client.Options{Server: s.Server, Fingerprint: s.Fingerprint, CAFile: s.CAFile, Token: s.Token, UserAgent: "smbgw/" + a.version})
	if err != nil {
		return nil, &usageError{text: err.Error()}
	}
	return c, nil
}

// target finds the server, in this order: --server; --context; --dir; $SMBGW_SERVER; $SMBGW_CONTEXT; the current
// context; an 'smbgw up' on this machine. --fingerprint, --ca-file and $SMBGW_TOKEN override its parts.
func (a *app) target() (saved, error) {
	cs, err := loadContexts()
	if err != nil {
		return saved{}, err
	}
	s, err := a.choose(cs)
	if err != nil {
		return s, err
	}
	if f := first(a.fingerprint, os.Getenv("SMBGW_FINGERPRINT")); f != "" {
		s.Fingerprint, s.CAFile = f, ""
	}
	if a.caFile != "" {
		s.CAFile = a.caFile
	}
	if t := os.Getenv("SMBGW_TOKEN"); t != "" {
		s.Token = t
	}
	return s, nil
}

func (a *app) choose(cs contexts) (saved, error) {
	named := func(name string) (saved, error) {
		s, ok := cs.Contexts[name]
		if !ok {
			return s, usage("there is no context %q; see 'smbgw context list'", name)
		}
		return s, nil
	}
	switch {
	case a.server != "":
		return cs.of(a.server), nil
	case a.context != "":
		return named(a.context)
	case a.dir != "":
		return local(a.dir)
	case os.Getenv("SMBGW_SERVER") != "":
		return cs.of(os.Getenv("SMBGW_SERVER")), nil
	case os.Getenv("SMBGW_CONTEXT") != "":
		return named(os.Getenv("SMBGW_CONTEXT"))
	case cs.Current != "":
		return named(cs.Current)
	}
	return local("")
}

// of returns what is saved of a server, so that --server alone finds fingerprint and token again.
func (cs contexts) of(server string) saved {
	plain := func(s string) string { return strings.TrimRight(strings.TrimPrefix(s, "https://"), "/") }
	for _, name := range sortedKeys(cs.Contexts) {
		if s := cs.Contexts[name]; plain(s.Server) == plain(server) {
			return s
		}
	}
	return saved{Server: server}
}

// local returns the server that an 'smbgw up' on this machine runs, from the file that it writes for this purpose.
func local(dir string) (saved, error) {
	dirs := []string{dir}
	if dir == "" {
		if dir = os.Getenv("SMBGW_DIR"); dir != "" {
			dirs = []string{dir}
		} else {
			dirs = []string{"var", "/var/lib/smbgw"}
		}
	}
	for _, d := range dirs {
		path := filepath.Join(d, "server", "cli.json")
		raw, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrPermission) {
			return saved{}, fmt.Errorf("the server's login for this machine, %s, is another user's: run this as that user, or run 'smbgw login'", path)
		}
		if err != nil {
			continue
		}
		var s saved
		if err := json.Unmarshal(raw, &s); err != nil || s.Server == "" {
			return s, fmt.Errorf("%s is damaged; restart the server, which writes it anew", path)
		}
		return s, nil
	}
	return saved{}, usage("no server is known here. Start one with 'smbgw up', or name one: 'smbgw login https://host:port'")
}

func first(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func (a *app) completeContexts(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	cs, err := loadContexts()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return sortedKeys(cs.Contexts), cobra.ShellCompDirectiveNoFileComp
}

func (a *app) contextCommand() *cobra.Command {
	c := &cobra.Command{Use: "context", Aliases: []string{"contexts"}, Short: "Saved servers", Args: cobra.ArbitraryArgs, RunE: helpOr("verb of context")}
	list := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List saved servers", Args: args(), RunE: func(cmd *cobra.Command, _ []string) error {
		cs, err := loadContexts()
		if err != nil {
			return err
		}
		return a.listContexts(a.printer(cmd), cs)
	}}
	use := &cobra.Command{Use: "use NAME", Short: "Make a saved server the default", Args: args("NAME"), ValidArgsFunction: a.completeContexts, RunE: func(cmd *cobra.Command, names []string) error {
		return changeContexts(names[0], func(cs *contexts) { cs.Current = names[0] })
	}}
	del := &cobra.Command{Use: "delete NAME", Aliases: []string{"rm"}, Short: "Forget a saved server", Args: args("NAME"), ValidArgsFunction: a.completeContexts, RunE: func(cmd *cobra.Command, names []string) error {
		return changeContexts(names[0], func(cs *contexts) {
			delete(cs.Contexts, names[0])
			if cs.Current == names[0] {
				cs.Current = ""
			}
		})
	}}
	c.AddCommand(list, use, del)
	return c
}

func changeContexts(name string, change func(*contexts)) error {
	cs, err := loadContexts()
	if err != nil {
		return err
	}
	if _, ok := cs.Contexts[name]; !ok {
		return usage("there is no context %q; see 'smbgw context list'", name)
	}
	change(&cs)
	return cs.save()
}

func (a *app) listContexts(p *printer, cs contexts) error {
	type entry struct {
		Name        string `json:"name"`
		Current     bool   `json:"current"`
		Server      string `json:"server"`
		Fingerprint string `json:"fingerprint,omitempty"`
	}
	entries := []entry{}
	var rows [][]cell
	for _, name := range sortedKeys(cs.Contexts) {
		s := cs.Contexts[name]
		entries = append(entries, entry{name, name == cs.Current, s.Server, s.Fingerprint})
		mark := ""
		if name == cs.Current {
			mark = "*"
		}
		rows = append(rows, []cell{text(mark), text(name), text(s.Server), text(s.Fingerprint)})
	}
	if p.json {
		return p.object(map[string]any{"items": entries})
	}
	if len(rows) == 0 {
		p.notef("No saved servers. Save one with: smbgw login https://host:port\n")
		return nil
	}
	p.table([]string{"", "NAME", "SERVER", "FINGERPRINT"}, rows)
	return nil
}
