package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/agent"
	"github.com/pve-smb-gateway/smbgw/internal/ctl"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/samba/passdb"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
	"github.com/spf13/cobra"
)

func agentCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "agent", GroupID: ctl.GroupRun,
		Short: "Run the agent, which manages Samba on this machine",
	}
	cmd.AddCommand(agentRunCommand(), agentEnrolCommand(), agentSetupCommand())
	return cmd
}

// agentFlags adds the flags that describe the node's Samba.
func agentFlags(cmd *cobra.Command, i *samba.Instance, port int, nss samba.NSSMode) {
	f := cmd.Flags()
	f.IntVar(&i.Port, "smb-port", port, "TCP port of SMB")
	f.StringSliceVar(&i.Bind, "smb-bind", nil, "IP address for SMB to listen on, with loopback among them (default: all)")
	f.StringSliceVar(&i.ShareRoots, "share-root", nil, "directory below which shares may lie; the first is for shares without a path (default /srv/smb)")
	f.StringVar((*string)(&i.NSS), "nss", string(nss), "where Samba's users become Unix users: extrausers (needs root) or nss_wrapper (for a try-out)")
}

func agentRunCommand() *cobra.Command {
	var cfg agent.Config
	var stopSamba bool
	cmd := &cobra.Command{
		Use: "run", Args: cobra.NoArgs,
		Short: "Run the agent of this machine",
		Long: "Runs the agent. smbd outlives it: clients stay connected while the agent is restarted or upgraded, and the next\n" +
			"agent takes the running smbd over. With --stop-samba smbd ends with the agent.",
	}
	agentFlags(cmd, &cfg.Instance, 445, samba.NSSExtrausers)
	cmd.Flags().BoolVar(&stopSamba, "stop-samba", false, "end smbd together with the agent")
	log := logger(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := dirOf(cmd, systemDir)
		if err != nil {
			return err
		}
		cfg.Version, cfg.Log, cfg.StopSamba = version, log(), stopSamba
		if err := placeAgent(dir, "/srv/smb", &cfg); err != nil {
			return err
		}
		return agent.Run(cmd.Context(), cfg)
	}
	return cmd
}

// placeAgent fills what follows from the data directory and from who runs the agent.
func placeAgent(dir, root string, cfg *agent.Config) error {
	cfg.StateDir = filepath.Join(dir, "agent")
	cfg.Instance.Dir = filepath.Join(dir, "samba")
	if len(cfg.Instance.ShareRoots) == 0 {
		cfg.Instance.ShareRoots = []string{root}
	}
	if os.Geteuid() != 0 {
		// Samba cannot act as other users then: every share acts as this one.
		me, err := user.Current()
		if err != nil {
			return err
		}
		cfg.Instance.ForceUser = me.Username
	}
	return nil
}

func agentEnrolCommand() *cobra.Command {
	var r link.EnrolRequest
	var tokenFile string
	cmd := &cobra.Command{
		Use: "enrol", Args: cobra.NoArgs,
		Short:   "Make this machine a node of a server",
		Example: "  smbgw agent enrol --server https://gateway:8443 --fingerprint SHA256:… --token-file -",
	}
	f := cmd.Flags()
	f.StringVar(&tokenFile, "token-file", "-", "file with the one-time token of 'smbgw node enrol-token', - for standard input")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := dirOf(cmd, systemDir)
		if err != nil {
			return err
		}
		// The same flags say which server the command line speaks to.
		if r.Server, err = cmd.Flags().GetString("server"); err != nil {
			return err
		}
		if r.Fingerprint, err = cmd.Flags().GetString("fingerprint"); err != nil {
			return err
		}
		if r.Server == "" || r.Fingerprint == "" {
			return errors.New("say which server with --server https://… and --fingerprint SHA256:…; 'smbgw node enrol-token' on the server prints the whole command")
		}
		if r.Token, err = readToken(cmd.InOrStdin(), tokenFile); err != nil {
			return err
		}
		id, err := enrol(cmd.Context(), dir, r)
		if err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "This machine is node %s of %s. Start it with: smbgw agent run\n", id.NodeName, id.Server)
		return nil
	}
	return cmd
}

func readToken(stdin io.Reader, file string) (secret.String, error) {
	in := stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return secret.String{}, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, 4096))
	return secret.NewString(strings.TrimSpace(string(raw))), err
}

// enrol makes this machine a node whose agent keeps its files in dir.
func enrol(ctx context.Context, dir string, r link.EnrolRequest) (*link.Identity, error) {
	r.Dir = agent.IdentityDir(filepath.Join(dir, "agent"))
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	r.Facts = link.Facts{Hostname: host, AgentVersion: version}
	return link.Enrol(ctx, r)
}

const nsswitch = "/etc/nsswitch.conf"

func agentSetupCommand() *cobra.Command {
	return &cobra.Command{
		Use: "setup", Args: cobra.NoArgs,
		Short: "Let this machine see Samba's users, by extrausers in " + nsswitch,
		Long: "Adds extrausers to the lines passwd, group and shadow of " + nsswitch + ", so that the users of shares become Unix\n" +
			"users without a line in /etc/passwd. Run it once on a node, as root. Doing it again changes nothing.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			multi, _ := filepath.Glob("/usr/lib/*/libnss_extrausers.so.2")
			if _, err := os.Stat("/usr/lib/libnss_extrausers.so.2"); err != nil && len(multi) == 0 {
				return errors.New("the package libnss-extrausers is missing: apt-get install libnss-extrausers")
			}
			changed, err := passdb.EnableExtrausers(nsswitch)
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), map[bool]string{true: nsswitch + " now names extrausers.", false: nsswitch + " names extrausers already."}[changed])
			return nil
		},
	}
}
