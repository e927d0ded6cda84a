// Command smbgw is PVE SMB Gateway: the server, the agent, both in one, and the command-line client.
package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/pve-smb-gateway/smbgw/internal/ctl"
	"github.com/pve-smb-gateway/smbgw/internal/logx"
	"github.com/spf13/cobra"
)

var version = "dev" // set by the linker

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := ctl.Root(version)
	root.AddCommand(serverCommand(), agentCommand(), upCommand())
	code := ctl.Execute(ctx, root)
	stop()
	os.Exit(code)
}

// logger adds --log-level to a command and returns a function that makes its logger once flags are parsed.
func logger(cmd *cobra.Command) func() *slog.Logger {
	var level slog.Level
	cmd.Flags().TextVar(&level, "log-level", slog.LevelInfo, "debug, info, warn or error")
	return func() *slog.Logger { return logx.New(cmd.ErrOrStderr(), level) }
}
