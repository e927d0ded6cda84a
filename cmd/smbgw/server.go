package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/ctl"
	"github.com/pve-smb-gateway/smbgw/internal/server"
	"github.com/spf13/cobra"
)

const systemDir = "/var/lib/smbgw"

// serverFlags adds the flags of the control plane and returns its configuration as they set it.
func serverFlags(cmd *cobra.Command, cfg *server.Config) {
	f := cmd.Flags()
	f.StringVar(&cfg.Listen, "listen", "127.0.0.1:8443", "host:port of console, API and the agents' link; 0.0.0.0:8443 lets other machines in")
	f.StringSliceVar(&cfg.Hosts, "host", nil, "further name or address under which the server is reached; the first is the one that links show")
	f.StringVar(&cfg.Database, "database", "", "sqlite:PATH or postgres://…, better in $SMBGW_DATABASE if it holds a password (default: SQLite in the data directory)")
}

// dirOf returns the data directory: --dir, $SMBGW_DIR, or def.
func dirOf(cmd *cobra.Command, def string) (string, error) {
	dir, err := cmd.Flags().GetString("dir")
	if err != nil {
		return "", err
	}
	if dir == "" {
		dir = os.Getenv("SMBGW_DIR")
	}
	if dir == "" {
		dir = def
	}
	return filepath.Abs(dir)
}

func serverCommand() *cobra.Command {
	cfg := server.Config{Version: version}
	cmd := &cobra.Command{
		Use: "server", GroupID: ctl.GroupRun, Args: cobra.NoArgs,
		Short: "Run the server: console, API, and the link of the agents",
	}
	serverFlags(cmd, &cfg)
	log := logger(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := dirOf(cmd, systemDir)
		if err != nil {
			return err
		}
		cfg.Log = log()
		s, err := openServer(cmd.Context(), dir, cfg)
		if err != nil {
			return err
		}
		if err := greet(cmd, s); err != nil {
			return errors.Join(err, s.Close())
		}
		return s.Run(cmd.Context())
	}
	return cmd
}

// openServer opens the server whose files are in dir/server and writes what the command line on this machine needs.
func openServer(ctx context.Context, dir string, cfg server.Config) (*server.Server, error) {
	cfg.Dir = filepath.Join(dir, "server")
	if cfg.Database == "" {
		cfg.Database = os.Getenv("SMBGW_DATABASE")
	}
	s, err := server.New(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := writeLocal(ctx, s, cfg.Dir); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// writeLocal writes cli.json, with which the command line works at once for whoever may read the data directory.
func writeLocal(ctx context.Context, s *server.Server, dir string) error {
	token := filepath.Join(dir, "cli-token")
	if err := s.LocalToken(ctx, token); err != nil {
		return err
	}
	raw, err := os.ReadFile(token)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(map[string]string{
		"server": loopback(s), "fingerprint": s.Fingerprint(), "token": strings.TrimSpace(string(raw)),
	}, "", "  ")
	if err != nil {
		return err
	}
	tmp := filepath.Join(dir, ".cli.json.new")
	if err := os.WriteFile(tmp, append(data, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(dir, "cli.json"))
}

// loopback returns the address of the server on this machine.
func loopback(s *server.Server) string {
	host, port, err := net.SplitHostPort(s.Addr())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "https://" + net.JoinHostPort(host, port)
}

// greet says where the console is and how to log in.
func greet(cmd *cobra.Command, s *server.Server) error {
	out := cmd.OutOrStdout()
	fmt.Fprintf(out, "\n  PVE SMB Gateway %s\n\n  Console      %s\n  Certificate  %s (own CA: %s/ca.crt)\n", version, s.URL(), s.Fingerprint(), s.URL())
	code, err := s.Bootstrap(cmd.Context())
	if err != nil {
		return err
	}
	if code == "" {
		fmt.Fprintln(out, "  Log in       with your account")
	} else {
		fmt.Fprintf(out, "  First login  %s/#/setup?code=%s\n               The code %s works once, for 15 minutes; a restart makes a new one.\n", s.URL(), code, code)
	}
	return nil
}
