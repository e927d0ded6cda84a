package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/cloudsoda/go-smb2"
	"github.com/pve-smb-gateway/smbgw/client"
)

// conn is a share that a real client has connected to.
type conn struct {
	session *smb2.Session
	*smb2.Share
}

func connect(ctx context.Context, addr, share string) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	s, err := (&smb2.Dialer{Initiator: &smb2.NTLMInitiator{User: user, Password: password}}).Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	sh, err := s.Mount(share)
	if err != nil {
		return nil, errors.Join(err, s.Logoff())
	}
	return &conn{s, sh}, nil
}

func (c *conn) close() error { return errors.Join(c.Umount(), c.session.Logoff()) }

// untilWritten returns how long it takes from make until a client has written a first byte to the share.
func (b *bench) untilWritten(addr, share string, create func() error) (float64, error) {
	start := time.Now()
	if err := create(); err != nil {
		return 0, err
	}
	for ; ; time.Sleep(10 * time.Millisecond) { // asking more often would slow down what is measured
		c, err := connect(b.ctx, addr, share)
		if err == nil {
			err = c.WriteFile("first", []byte("x"), 0o644)
			took := millis(time.Since(start))
			if err = errors.Join(err, c.close()); err == nil {
				return took, nil
			}
		}
		if time.Since(start) > time.Minute {
			return 0, fmt.Errorf("share %s cannot be written: %w", share, err)
		}
	}
}

func (b *bench) spec(name string) client.ShareSpec {
	return client.ShareSpec{Name: name, ValidUsers: []string{user}}
}

// firstByte measures POST until a client's first byte, beside `net conf addshare` until a client's first byte.
func (b *bench) firstByte(shares int, target string) error {
	if shares <= 10 {
		for i := range shares {
			if _, err := b.api.Shares().Create(b.ctx, b.spec(fmt.Sprintf("few%d", i))); err != nil {
				return err
			}
		}
	} else { // the reference has to carry as many
		var conf strings.Builder
		for i := range shares {
			fmt.Fprintf(&conf, "[many%04d]\npath = %s/data\nread only = no\n", i, b.ref.dir)
		}
		file := filepath.Join(b.ref.dir, "many.conf")
		if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
			return err
		}
		if _, err := output(b.ctx, b.ref.env, "", "net", "--configfile="+b.ref.dir+"/smb.conf", "conf", "import", file); err != nil {
			return err
		}
	}
	const n = 15
	var ours, theirs []float64
	for i := range n {
		name := fmt.Sprintf("byte%d-%d", shares, i)
		took, err := b.untilWritten(b.smb, name, func() error {
			_, err := b.api.Shares().Create(b.ctx, b.spec(name))
			return err
		})
		if err != nil {
			return err
		}
		ours = append(ours, took)
		if took, err = b.untilWritten(b.ref.addr, name, func() error { return b.ref.addShare(name) }); err != nil {
			return err
		}
		theirs = append(theirs, took)
		time.Sleep(time.Second) // a person, not a flood: what follows the one share is over before the next
	}
	b.add(figure{Name: fmt.Sprintf("POST to the first byte of a client, %d shares, p50", shares), Value: quantile(ours, 0.5), Unit: "ms",
		Target: "<= " + target, Reference: quantile(theirs, 0.5), Of: "net conf addshare + connect", N: n})
	return nil
}

// idleMemory lets everything rest, then reads the resident memory.
func (b *bench) idleMemory() error {
	select {
	case <-b.ctx.Done():
		return b.ctx.Err()
	case <-time.After(15 * time.Second):
	}
	for _, p := range []struct {
		name, target string
		pid          int
	}{{"server", "<= 80 MB", b.server.Process.Pid}, {"agent", "<= 30 MB", b.agent.Process.Pid}} {
		rss, err := memory(fmt.Sprintf("/proc/%d/status", p.pid), "VmRSS:")
		if err != nil {
			return err
		}
		b.add(figure{Name: "idle RSS of the " + p.name, Value: rss, Unit: "MB", Target: p.target, N: 1})
	}
	mark := "SMBGW_INSTANCE=" + filepath.Join(b.dir, "samba")
	all, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return err
	}
	total, count := 0.0, 0
	for _, file := range all {
		raw, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(raw), mark) {
			continue
		}
		if pss, err := memory(filepath.Join(filepath.Dir(file), "smaps_rollup"), "Pss:"); err == nil {
			total, count = total+pss, count+1
		}
	}
	b.add(figure{Name: fmt.Sprintf("PSS of the private Samba, %d processes", count), Value: total, Unit: "MB", Target: "reported", N: 1})
	return nil
}

// memory reads a value in kB from a file of /proc, in MB of 10^6 bytes.
func memory(file, key string) (float64, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, key); ok {
			kb, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kb * 1024 / 1e6, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, key)
}

// throughput copies a large file in and out, our share and the reference in turn.
func (b *bench) throughput() error {
	const size, rounds = 768 << 20, 7
	file := filepath.Join(b.dir, "large")
	if err := os.WriteFile(file, make([]byte, size), 0o644); err != nil {
		return err
	}
	defer func() { _ = os.Remove(file) }()
	name := "few0"
	type side struct{ addr, share string }
	rate := map[string][]float64{}
	for range rounds {
		for who, s := range map[string]side{"ours": {b.smb, name}, "ref": {b.ref.addr, "ref"}} {
			host, port, _ := strings.Cut(s.addr, ":")
			for verb, command := range map[string]string{"put": "put " + file + " large", "get": "get large /dev/null"} {
				if verb == "get" {
					// The file has to be there, whatever order the map gives.
					if _, err := output(b.ctx, []string{"PASSWD=" + password}, "", "smbclient", "//"+host+"/"+s.share, "-p", port, "-U", user, "-c", "ls large"); err != nil {
						continue
					}
				}
				start := time.Now()
				if _, err := output(b.ctx, []string{"PASSWD=" + password}, "", "smbclient", "//"+host+"/"+s.share, "-p", port, "-U", user, "-c", command); err != nil {
					return err
				}
				rate[who+verb] = append(rate[who+verb], size/1e6/time.Since(start).Seconds())
			}
		}
	}
	for _, verb := range []string{"put", "get"} {
		b.add(figure{Name: "throughput of smbclient " + verb + ", 805 MB on tmpfs, median", Value: quantile(rate["ours"+verb], 0.5), Unit: "MB/s",
			Target: ">= 0.98 x", Reference: quantile(rate["ref"+verb], 0.5), Of: "smbd made by hand", N: len(rate["ours"+verb])})
	}
	return nil
}

// applyThousand brings the gateway to 1,000 shares more, by one file.
func (b *bench) applyThousand() error {
	var doc strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&doc, "---\nkind: Share\nname: many%04d\nvalidUsers: [%s]\n", i, user)
	}
	file := filepath.Join(b.dir, "many.yaml")
	if err := os.WriteFile(file, []byte(doc.String()), 0o644); err != nil {
		return err
	}
	start := time.Now()
	if _, err := output(b.ctx, nil, "", binary, "apply", "-f", file, "--wait", "--dir", b.dir); err != nil {
		return err
	}
	b.add(figure{Name: "1,000 shares by apply -f until all are Ready", Value: time.Since(start).Seconds(), Unit: "s", Target: "<= 60 s", N: 1})
	return nil
}

// lists asks for pages and searches of 1,000 shares.
func (b *bench) lists() error {
	const n = 200
	for name, o := range map[string]client.ListOptions{
		"list, 100 a page": {Limit: 100}, "search": {Search: "many05", Limit: 100}, "filter and sort": {Filter: `ready eq "True"`, Sort: "-updatedAt", Limit: 100},
	} {
		var all []float64
		for range n {
			start := time.Now()
			if _, err := b.api.Shares().List(b.ctx, o); err != nil {
				return err
			}
			all = append(all, millis(time.Since(start)))
		}
		b.add(figure{Name: "1,000 shares through the API: " + name + ", p99", Value: quantile(all, 0.99), Unit: "ms", Target: "<= 50 ms", N: n})
	}
	return nil
}

var code = regexp.MustCompile(`code=([A-Z0-9-]+)`)

// page opens a share's page in Chromium, each time in a new context.
func (b *bench) page() error {
	raw, err := os.ReadFile(filepath.Join(b.dir, "server.log"))
	if err != nil {
		return err
	}
	m := code.FindSubmatch(raw)
	if m == nil {
		return errors.New("the server printed no set-up code")
	}
	s, err := b.api.Shares().Find(b.ctx, "many0500")
	if err != nil {
		return err
	}
	script, err := filepath.Abs("test/bench/page.mjs")
	if err != nil {
		return err
	}
	out, err := output(b.ctx, nil, "", "node", script, b.url, url.QueryEscape(string(m[1])), "/shares/"+s.UID)
	if err != nil {
		return err
	}
	var all []float64
	for f := range strings.FieldsSeq(out) {
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return fmt.Errorf("page.mjs printed %q", out)
		}
		all = append(all, v)
	}
	b.add(figure{Name: "share page in Chromium until its receipt shows, cold, median", Value: quantile(all, 0.5), Unit: "ms", Target: "<= 1 s", N: len(all)})
	return nil
}

var cpu = regexp.MustCompile(`([0-9.]+) cpu-ms/op`)

// idlePass runs the Go benchmark of a pass that has nothing to do; the tests hold that it writes nothing.
func (b *bench) idlePass() error {
	out, err := output(b.ctx, nil, "", "go", "test", "./internal/samba/registry", "-run", "^$", "-bench", "^BenchmarkIdlePassOf1000$", "-benchtime", "40x")
	if err != nil {
		return err
	}
	m := cpu.FindStringSubmatch(out)
	if m == nil {
		return fmt.Errorf("the benchmark printed no cpu-ms/op: %s", out)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	b.add(figure{Name: "CPU of a pass with nothing to do, 1,000 shares, children too", Value: v, Unit: "ms", Target: "<= 50 ms", N: 40})
	return err
}
