package ctl

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"golang.org/x/text/width"
	"sigs.k8s.io/yaml"
)

// printer writes answers to standard output and remarks to standard error.
type printer struct {
	out, err io.Writer
	json     bool
	// color and columns describe the terminal that out is; columns is 0 for a file or a pipe.
	color   bool
	columns int
	// live is set when remarks go to a terminal, so that a line can be overwritten.
	live bool
}

func (a *app) printer(cmd *cobra.Command) *printer {
	p := &printer{out: cmd.OutOrStdout(), err: cmd.ErrOrStderr(), json: a.json}
	if f, ok := p.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil {
			p.columns = w
		}
		p.color = !a.noColor && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	if f, ok := p.err.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" && !a.json {
		p.live = true
	}
	return p
}

func (p *printer) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.out, format, args...) }

// notef writes a remark for people; nothing with --json.
func (p *printer) notef(format string, args ...any) {
	if !p.json {
		_, _ = fmt.Fprintf(p.err, format, args...)
	}
}

// object prints v as indented JSON.
func (p *printer) object(v any) error {
	enc := json.NewEncoder(p.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// yaml prints v for people.
func (p *printer) yaml(v any) error {
	raw, err := yaml.Marshal(v)
	if err == nil {
		p.printf("%s", clean(string(raw)))
	}
	return err
}

// cell is one field of a table. State colours it; the text says the same.
type cell struct {
	text  string
	state state
}

type state int

const (
	plain state = iota
	good
	busy
	bad
)

func text(s string) cell { return cell{text: s} }

var stateOf = map[string]state{
	"Ready": good, "True": good, "Online": good, "Connected": good, "succeeded": good, "Succeeded": good, "done": good, "yes": good,
	"Applying": busy, "Deleting": busy, "Unknown": busy, "running": busy, "Running": busy, "pending": busy, "Pending": busy, "queued": busy,
	"Failed": bad, "False": bad, "Offline": bad, "Lost": bad, "failed": bad, "cancelled": bad, "Fenced": bad, "no": bad,
}

// stateCell is a cell whose colour follows from its text.
func stateCell(s string) cell { return cell{s, stateOf[s]} }

var ansi = map[state]string{good: "\x1b[32m", busy: "\x1b[33m", bad: "\x1b[31m"}

func (p *printer) paint(s string, st state) string {
	if !p.color || st == plain {
		return s
	}
	return ansi[st] + s + "\x1b[0m"
}

// table prints aligned columns. On a terminal the widest ones are shortened until a row fits.
func (p *printer) table(header []string, rows [][]cell) {
	widths := make([]int, len(header))
	for i, h := range header {
		widths[i] = textWidth(h)
	}
	for _, r := range rows {
		for i := range r {
			r[i].text = clean(strings.ReplaceAll(r[i].text, "\n", " "))
			widths[i] = max(widths[i], textWidth(r[i].text))
		}
	}
	shrink(widths, header, p.columns)
	line := func(cells []cell) {
		var b strings.Builder
		for i, c := range cells {
			s := cut(c.text, widths[i])
			b.WriteString(p.paint(s, c.state))
			if i < len(cells)-1 {
				b.WriteString(strings.Repeat(" ", widths[i]-textWidth(s)+2))
			}
		}
		p.printf("%s\n", strings.TrimRight(b.String(), " "))
	}
	head := make([]cell, len(header))
	for i, h := range header {
		head[i] = text(h)
	}
	line(head)
	for _, r := range rows {
		line(r)
	}
}

// shrink takes from the widest column, never below its header or 8, until the row fits into columns.
func shrink(widths []int, header []string, columns int) {
	if columns <= 0 {
		return
	}
	total := 2 * (len(widths) - 1)
	for _, w := range widths {
		total += w
	}
	for total > columns {
		widest := 0
		for i, w := range widths {
			if w > widths[widest] {
				widest = i
			}
		}
		if widths[widest] <= max(8, textWidth(header[widest])) {
			return
		}
		widths[widest]--
		total--
	}
}

// cut shortens s to w columns, ending in an ellipsis.
func cut(s string, w int) string {
	if textWidth(s) <= w {
		return s
	}
	var b strings.Builder
	n := 0
	for _, r := range s {
		rw := runeWidth(r)
		if n+rw > w-1 {
			break
		}
		b.WriteRune(r)
		n += rw
	}
	return b.String() + "…"
}

func textWidth(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	if k := width.LookupRune(r).Kind(); k == width.EastAsianWide || k == width.EastAsianFullwidth {
		return 2
	}
	return 1
}

// clean takes out what a terminal would obey. Names and comments come from other people.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// ago says how long ago t was.
func ago(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	switch d := time.Since(t); {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
}

func agoPointer(t *time.Time) string {
	if t == nil {
		return "never"
	}
	return ago(*t)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
