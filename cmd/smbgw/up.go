package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/agent"
	"github.com/pve-smb-gateway/smbgw/internal/ctl"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
	"github.com/pve-smb-gateway/smbgw/internal/server"
	"github.com/spf13/cobra"
)

// upCommand runs server and agent in one process. The agent enrols at the server and talks to it over the same link as
// any other agent.
func upCommand() *cobra.Command {
	serverCfg := server.Config{Version: version}
	agentCfg := agent.Config{Version: version, StopSamba: true}
	cmd := &cobra.Command{
		Use: "up", GroupID: ctl.GroupRun, Args: cobra.NoArgs,
		Short: "Run server and agent together, with a private Samba: the quickest way to a share",
		Long: "Runs server and agent in one process, with a Samba of its own on a high port; nothing outside the data directory is\n" +
			"touched. Ctrl-C ends all of it, Samba included; shares and files stay in the data directory.",
	}
	serverFlags(cmd, &serverCfg)
	agentFlags(cmd, &agentCfg.Instance, 4450, samba.NSSWrapper)
	log := logger(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		dir, err := dirOf(cmd, "var")
		if err != nil {
			return err
		}
		logFile, err := openLog(cmd, dir)
		if err != nil {
			return err
		}
		defer func() { _ = logFile.Close() }()
		cmd.SetErr(logFile)
		serverCfg.Log = log()
		agentCfg.Log = serverCfg.Log
		if len(agentCfg.Instance.Bind) == 0 {
			agentCfg.Instance.Bind = []string{"127.0.0.1"}
		}
		if err := placeAgent(dir, filepath.Join(dir, "shares"), &agentCfg); err != nil {
			return err
		}
		if closed := closedDir(agentCfg.Instance.ShareRoots[0]); closed != "" && os.Geteuid() == 0 {
			agentCfg.Instance.ForceUser = "root"
			fmt.Fprintf(cmd.OutOrStdout(), "\n  Note: %s is closed to other users, so the files of shares belong to root in this try-out.\n", closed)
		}
		s, err := openServer(cmd.Context(), dir, serverCfg)
		if err != nil {
			return err
		}
		return runBoth(cmd, dir, s, agentCfg)
	}
	return cmd
}

// closedDir returns the first directory on the way to path that others may not enter, such as /root, or "". The account
// that owns the files of shares could not reach them there.
func closedDir(path string) string {
	for dir := path; dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err == nil && info.Mode().Perm()&0o001 == 0 {
			return dir
		}
	}
	return ""
}

// openLog returns the file for the log, which would drown the banner on a terminal.
func openLog(cmd *cobra.Command, dir string) (*os.File, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, "smbgw.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// runBoth ends the agent before the server, so that the agent's last report arrives.
func runBoth(cmd *cobra.Command, dir string, s *server.Server, cfg agent.Config) error {
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	serverCtx, stopServer := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServer()
	served := make(chan error, 1)
	go func() {
		err := s.Run(serverCtx)
		cancel() // without a server, "up" is over
		served <- err
	}()
	err := func() error {
		if err := enrolSelf(ctx, dir, s); err != nil {
			return err
		}
		if err := greet(cmd, s); err != nil {
			return err
		}
		smb := cfg.Instance
		fmt.Fprintf(cmd.OutOrStdout(), "  SMB          %s, files below %s\n", net.JoinHostPort(smb.Bind[0], strconv.Itoa(smb.Port)), smb.ShareRoots[0])
		fmt.Fprintf(cmd.OutOrStdout(), "  Log          %s\n\n  A first share, in another terminal:\n\n"+
			"    bin/smbgw user create alice\n    bin/smbgw share create projects --valid-users alice --wait\n"+
			"    smbclient //%s/projects -p %d -U alice -c 'put README.md; ls'\n\n  Ctrl-C stops everything.\n\n",
			filepath.Join(dir, "smbgw.log"), smb.Bind[0], smb.Port)
		return agent.Run(ctx, cfg)
	}()
	if cmd.Context().Err() != nil {
		fmt.Fprintln(cmd.OutOrStdout(), "Stopped. Shares and files are kept in "+dir+".")
	}
	stopServer()
	return errors.Join(err, <-served)
}

// enrolSelf makes this machine a node of the server in the same process, once.
func enrolSelf(ctx context.Context, dir string, s *server.Server) error {
	_, err := link.LoadIdentity(agent.IdentityDir(filepath.Join(dir, "agent")))
	if !errors.Is(err, link.ErrNotEnrolled) {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	name, _, _ := strings.Cut(host, ".")
	token, err := s.EnrolmentToken(ctx, strings.ToLower(name))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	_, err = enrol(ctx, dir, link.EnrolRequest{Server: loopback(s), Fingerprint: s.Fingerprint(), Token: token})
	return err
}
