package ctl

import (
	"fmt"
	"strconv"
	"time"
)

// progress shows how long work goes on: one line that changes on a terminal, plain lines now and then otherwise.
type progress struct {
	p     *printer
	shown string
	at    time.Time
}

// plainEvery is how often a plain line is written.
const plainEvery = 5 * time.Second

func (g *progress) update(s string) {
	if g.p.json || s == g.shown {
		return
	}
	if g.p.live {
		columns := g.p.columns
		if columns <= 0 {
			columns = 80
		}
		_, _ = fmt.Fprintf(g.p.err, "\r\x1b[K%s", cut(s, columns-1))
	} else {
		if time.Since(g.at) < plainEvery {
			return
		}
		_, _ = fmt.Fprintln(g.p.err, s)
	}
	g.shown, g.at = s, time.Now()
}

// line writes a line that stays, above the changing one.
func (g *progress) line(s string) {
	if g.p.json {
		return
	}
	if g.p.live {
		_, _ = fmt.Fprint(g.p.err, "\r\x1b[K")
	}
	_, _ = fmt.Fprintln(g.p.err, s)
	if g.p.live && g.shown != "" {
		_, _ = fmt.Fprint(g.p.err, g.shown)
	}
}

// end takes the changing line away.
func (g *progress) end() {
	if g.p.live && g.shown != "" {
		_, _ = fmt.Fprint(g.p.err, "\r\x1b[K")
	}
	g.shown = ""
}

func itoa(n int) string { return strconv.Itoa(n) }
