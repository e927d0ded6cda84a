package identity

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// ImportKind is the kind of task that imports users; [Service.Import] handles it.
const ImportKind = "user.import"

// importChunk is how many lines are written in one transaction.
const importChunk = 200

// ImportStarted answers the start of an import.
type ImportStarted struct {
	TaskUID string `json:"taskUID" doc:"The task that does it: read /tasks/{taskUID} for progress and the result of each line"`
	Rows    int    `json:"rows" doc:"Lines that were read"`
	Invalid int    `json:"invalid" doc:"Lines that will be left out; the task says why"`
}

// importJob is the payload of the task. Passwords are in it as NT hashes only, and the task room seals it.
type importJob struct {
	Rows []importJobRow `json:"rows"`
}

type importJobRow struct {
	Line     int      `json:"line"`
	Name     string   `json:"name"`
	FullName string   `json:"fullName,omitempty"`
	NTHash   string   `json:"ntHash,omitempty"`
	Groups   []string `json:"groups,omitempty"`
	Bad      string   `json:"bad,omitempty"`
}

// Run is what this room needs of a running task.
type Run interface {
	// Payload reads what the task was started with.
	Payload(v any) error
	// Done is how many items are finished, in this and in earlier attempts.
	Done() int
	// Step runs fn in one transaction with the progress it reports, so that after a crash it is either all done or not at all.
	Step(ctx context.Context, fn func(ctx context.Context, report func(name string, ok bool, detail string)) error) error
}

// StartImport reads a CSV file, judges every line and starts the task that writes the good ones.
func (s *Service) StartImport(ctx context.Context, raw []byte) (ImportStarted, error) {
	lines, err := readImport(raw)
	if err != nil {
		return ImportStarted{}, err
	}
	job, started := importJob{}, ImportStarted{Rows: len(lines)}
	seen := map[string]int{}
	for _, l := range lines {
		row := judge(l)
		if at := seen[row.Name]; row.Bad == "" && at > 0 {
			row.Bad = fmt.Sprintf("The name is on line %d already. Leave one of them out.", at)
		} else if row.Bad == "" {
			seen[row.Name] = l.line
		}
		if row.Bad != "" {
			row.NTHash = "" // of no use, so not kept
			started.Invalid++
		}
		job.Rows = append(job.Rows, row)
	}
	err = s.DB.Tx(ctx, func(ctx context.Context) error {
		started.TaskUID, err = s.StartTask(ctx, ImportKind, fmt.Sprintf("Import of %d users", len(job.Rows)), len(job.Rows), job)
		return err
	})
	return started, err
}

// judge checks a line by the rules that need no store.
func judge(l importLine) importJobRow {
	row := importJobRow{Line: l.line, Name: l.name, FullName: l.fullName, Groups: l.groups, Bad: l.bad}
	if row.Bad != "" {
		return row
	}
	spec := UserSpec{Name: l.name, FullName: l.fullName}
	if l.password != "" {
		spec.Password = &l.password
	}
	hash, err := checked(spec, true)
	if err != nil {
		row.Bad = problem.From(err).Detail
		return row
	}
	row.NTHash = hash
	return row
}

// Import writes the users of an import, in chunks, each in one transaction with its progress.
func (s *Service) Import(ctx context.Context, run Run) error {
	var job importJob
	if err := run.Payload(&job); err != nil {
		return err
	}
	for run.Done() < len(job.Rows) {
		rows := job.Rows[run.Done():min(run.Done()+importChunk, len(job.Rows))]
		if err := run.Step(ctx, func(ctx context.Context, report func(string, bool, string)) error {
			return s.importRows(ctx, rows, report)
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) importRows(ctx context.Context, rows []importJobRow, report func(name string, ok bool, detail string)) error {
	for _, r := range rows {
		ok, detail := false, r.Bad
		if r.Bad == "" {
			var err error
			detail, err = s.importUser(ctx, r)
			var bad *problem.Error
			switch {
			case err == nil:
				ok = true
			case errors.As(err, &bad) && bad.Status < 500 && bad.Code != problem.CodeStale:
				detail = bad.Detail // found before anything of this line was written
			default:
				return err
			}
		}
		report(fmt.Sprintf("line %d: %s", r.Line, printable(r.Name)), ok, detail)
	}
	return nil
}

// importUser creates or changes one user. Problems come before the first write.
func (s *Service) importUser(ctx context.Context, r importJobRow) (detail string, err error) {
	known, err := s.uidsByName(ctx, kindUser, []string{r.Name})
	if err != nil {
		return "", err
	}
	uid, exists := known[r.Name]
	if !exists {
		_, err := s.insertUser(ctx, object.NewUID(), UserSpec{Name: r.Name, FullName: r.FullName, Groups: r.Groups}, r.NTHash)
		return "created", err
	}
	var row userRow
	if err := s.row(ctx, kindUser, uid, &row); err != nil {
		return "", err
	}
	old, err := s.user(ctx, row)
	if err != nil {
		return "", err
	}
	spec := old.spec()
	if r.FullName != "" {
		spec.FullName = r.FullName
	}
	spec.Groups = slices.Concat(spec.Groups, r.Groups)
	u, err := s.updateUser(ctx, row, spec, r.NTHash)
	if err == nil && u.Revision == old.Revision {
		return "unchanged", nil
	}
	return "changed", err
}

// printable keeps what is no name at all from spoiling a list.
func printable(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, name)
	if len(name) > 2*maxNameBytes {
		return strings.ToValidUTF8(name[:2*maxNameBytes], "") + "…"
	}
	return name
}
