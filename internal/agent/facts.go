package agent

import (
	"bufio"
	"context"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/samba"
)

// Facts are what an agent of that version tells the server about its machine.
func Facts(version string) link.Facts {
	return link.Facts{Hostname: hostname(), AgentVersion: version, OS: osName()}
}

func hostname() string {
	name, err := os.Hostname()
	if err != nil {
		return "unknown"
	}
	return name
}

// osName returns the name of the operating system, such as "Debian GNU/Linux 12 (bookworm)".
var osName = sync.OnceValue(func() string {
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return "Linux"
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "PRETTY_NAME="); ok {
			if plain, err := strconv.Unquote(value); err == nil {
				return plain
			}
			return value
		}
	}
	return "Linux"
})

// sambaVersion asks Samba's programs for their version; "" while they are not installed.
func sambaVersion(ctx context.Context, inst *samba.Instance) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := inst.Run(ctx, nil, "net", "--version")
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSpace(string(out.Stdout)), "Version ")
}
