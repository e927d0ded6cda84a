package identity

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// Limits of one import.
const (
	maxImportRows  = 10_000
	maxImportBytes = 8 << 20
)

// Codes of an import that cannot be started at all.
const (
	codeImportEmpty    = "user.import_empty"
	codeImportTooLong  = "user.import_too_long"
	codeImportEncoding = "user.import_encoding"
	codeImportHeader   = "user.import_header"
)

// importLine is one line of an import, as it was written.
type importLine struct {
	line     int // 1 is the file's first line
	name     string
	password string
	fullName string
	groups   []string
	// bad says why the line cannot be read; it holds nothing of its content.
	bad string
}

// columns in their order when the file has no header.
var importColumns = []string{"name", "password", "fullname", "groups"}

// readImport reads a whole import. A line that cannot be read is returned as such; an error is about the whole file.
func readImport(raw []byte) ([]importLine, error) {
	refuse := func(code, detail string) ([]importLine, error) {
		return nil, problem.New(http.StatusUnprocessableEntity, code, detail)
	}
	if bytes.HasPrefix(raw, []byte{0xff, 0xfe}) || bytes.HasPrefix(raw, []byte{0xfe, 0xff}) {
		return refuse(codeImportEncoding, "The file is UTF-16. Save it as \"CSV UTF-8\" and send it again.")
	}
	raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
	if !utf8.Valid(raw) {
		return refuse(codeImportEncoding, "The file is not UTF-8, so letters such as ü would be wrong. Save it as \"CSV UTF-8\" and send it again.")
	}
	separator := detectSeparator(raw)
	r := csv.NewReader(bytes.NewReader(raw))
	r.Comma, r.FieldsPerRecord = separator, -1
	columns := importColumns
	var lines []importLine
	for first := true; ; first = false {
		cells, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if len(lines) == maxImportRows {
			return refuse(codeImportTooLong, fmt.Sprintf("The file has more than %d lines. Split it and send the parts one by one.", maxImportRows))
		}
		var broken *csv.ParseError
		if errors.As(err, &broken) {
			lines = append(lines, importLine{line: broken.StartLine, bad: "The double quotes of this line do not fit. Put a field that holds a quote " +
				"into quotes and write each quote in it twice. Lines behind an open quote were not read."})
			continue
		} else if err != nil {
			return nil, err
		}
		if first && strings.EqualFold(strings.TrimSpace(cells[0]), "name") {
			var bad string
			if columns, bad = header(cells); bad != "" {
				return refuse(codeImportHeader, bad)
			}
			continue
		}
		n, _ := r.FieldPos(0)
		lines = append(lines, importRow(n, columns, cells))
	}
	if len(lines) == 0 {
		return refuse(codeImportEmpty, "The file has no users. Write one on each line: name;password;full name;group,group")
	}
	return lines, nil
}

// detectSeparator returns the first separator outside of double quotes on the first line that has one.
func detectSeparator(raw []byte) rune {
	quoted := false
	for _, b := range raw {
		switch b {
		case '"':
			quoted = !quoted
		case ';', ',', '\t':
			if !quoted {
				return rune(b)
			}
		}
	}
	return ';'
}

func header(cells []string) (columns []string, bad string) {
	known := map[string]string{"name": "name", "password": "password", "fullname": "fullname", "full name": "fullname", "groups": "groups", "group": "groups"}
	seen := map[string]bool{}
	for _, c := range cells {
		col, ok := known[strings.ToLower(strings.TrimSpace(c))]
		if !ok || seen[col] {
			return nil, fmt.Sprintf("The first line names a column %q, which is unknown or there twice. Possible: name, password, fullName, groups.", c)
		}
		seen[col] = true
		columns = append(columns, col)
	}
	return columns, ""
}

func importRow(n int, columns, cells []string) importLine {
	l := importLine{line: n}
	for i, c := range cells {
		column := ""
		if i < len(columns) {
			column = columns[i]
		}
		switch column {
		case "name":
			l.name = strings.TrimSpace(c)
		case "password":
			l.password = c
		case "fullname":
			l.fullName = strings.TrimSpace(c)
		case "groups":
			l.groups = strings.FieldsFunc(c, func(r rune) bool { return strings.ContainsRune(",;| ", r) })
		default:
			if strings.TrimSpace(c) != "" {
				l.bad = fmt.Sprintf("The line has more than %d fields. Put a field that holds the separator, such as several groups, into double quotes.", len(columns))
			}
		}
	}
	return l
}
