package identity_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/db/dbtest"
	"github.com/pve-smb-gateway/smbgw/internal/identity"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
)

// run is a running task: progress is kept when a step commits, as the task room does it.
type run struct {
	r     *room
	items []string // "name ok detail"
	steps int
	// dieAfter makes every step behind that many fail, as if the server had been killed. 0: never.
	dieAfter int
}

var errKilled = errors.New("killed")

func (x *run) Payload(v any) error { return json.Unmarshal(x.r.job, v) }
func (x *run) Done() int           { return len(x.items) }

func (x *run) Step(ctx context.Context, fn func(context.Context, func(string, bool, string)) error) error {
	var items []string
	err := x.r.db.Tx(ctx, func(ctx context.Context) error {
		items = nil
		err := fn(ctx, func(name string, ok bool, detail string) {
			items = append(items, fmt.Sprint(name, " ", ok, " ", detail))
		})
		if x.steps++; err == nil && x.dieAfter > 0 && x.steps > x.dieAfter {
			return errKilled // rolls back
		}
		return err
	})
	if err == nil {
		x.items = append(x.items, items...)
	}
	return err
}

func (r *room) importCSV(t testing.TB, csv string) *run {
	t.Helper()
	if _, err := r.StartImport(t.Context(), []byte(csv)); err != nil {
		t.Fatal(err)
	}
	x := &run{r: r}
	if err := r.Import(t.Context(), x); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestImport(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		ctx := t.Context()
		r.group(t, "staff")
		r.group(t, "guests2")
		r.user(t, identity.UserSpec{Name: "old", FullName: "Old Name", Password: new("old password"), Groups: []string{"guests2"}})
		file := "\ufeffname;password;fullName;groups\r\n" +
			"anna;correct horse;Anna Smith;staff,guests2\r\n" +
			"old;" + password + ";;staff\r\n" +
			"root;correct horse;;\r\n" +
			"bert;short-1;;\r\n" + // 7 characters
			"anna;zebra stripes;;\r\n" +
			"carl;correct horse;;nogroup2\r\n" +
			"staff;correct horse;;\r\n" +
			"\r\n" +
			"Dora;correct horse;;\r\n" +
			"\"e\"vil;correct horse;;\r\n" +
			"emil;;Emil;staff;;\r\n" +
			"too;correct horse;Many;staff;fields\r\n"
		started, err := r.StartImport(ctx, []byte(file))
		if err != nil || started.Rows != 11 || started.Invalid != 6 || started.TaskUID == "" {
			t.Fatalf("%+v, %v", started, err)
		}
		for _, s := range []string{"correct horse", "old password", password + `"`, "short-1", "zebra stripes"} {
			if strings.Contains(string(r.job), s) {
				t.Errorf("the task's payload holds a password: %s", r.job)
			}
		}
		x := &run{r: r}
		if err := r.Import(ctx, x); err != nil {
			t.Fatal(err)
		}
		want := []string{
			"line 2: anna true created", "line 3: old true changed", `line 4: root false "root" is a name`, "line 5: bert false The password has fewer",
			"line 6: anna false The name is on line 2", `line 7: carl false There is no group "nogroup2"`, `line 8: staff false There is a user or group`,
			"line 10: Dora false The name has upper-case", "line 11:  false The double quotes", "line 12: emil true created", "line 13: too false The line has more than 4",
		}
		for i, w := range want {
			if i >= len(x.items) || !strings.HasPrefix(x.items[i], w) {
				t.Errorf("item %d: %v, want %s", i, x.items[i:], w)
				break
			}
		}
		all := strings.Join(x.items, "\n") + jsonOf(t, r.changes)
		if strings.Contains(all, "correct horse") || strings.Contains(all, "short-1") {
			t.Errorf("a password shows: %s", all)
		}
		snap := r.snapshot(t)
		snap.Sort()
		var names []string
		for _, u := range snap.Users {
			names = append(names, u.Name)
		}
		if !slices.Equal(names, []string{"anna", "emil", "old"}) {
			t.Errorf("users %v", names)
		}
		if u := snap.Users[2]; u.NTHash != hash || u.FullName != "Old Name" {
			t.Errorf("the user who was there: %+v", u)
		}
		page, err := r.ListUsers(ctx, db.ListQuery{})
		if err != nil || !slices.Equal(page.Items[2].Groups, []string{"guests2", "staff"}) || page.Items[1].PasswordSet {
			t.Errorf("%+v, %v", page.Items, err)
		}

		// The same good file again changes nothing.
		head := r.number(t)
		if x := r.importCSV(t, "anna,correct horse,Anna Smith,\"staff,guests2\"\n"); x.items[0] != "line 1: anna true unchanged" || r.number(t) != head {
			t.Errorf("again: %v, event %d after %d", x.items, r.number(t), head)
		}
	})
}

// TestImportResumes: an import that is killed between two chunks goes on behind the last one, on both engines.
func TestImportResumes(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		var csv strings.Builder
		for i := range 900 {
			fmt.Fprintf(&csv, "u%03d;password %d;;\n", i, i)
		}
		if _, err := r.StartImport(t.Context(), []byte(csv.String())); err != nil {
			t.Fatal(err)
		}
		x := &run{r: r, dieAfter: 2}
		if err := r.Import(t.Context(), x); !errors.Is(err, errKilled) {
			t.Fatal(err)
		}
		if n := len(r.snapshot(t).Users); n != x.Done() || n == 0 || n == 900 {
			t.Errorf("%d users, %d reported", n, x.Done())
		}
		x.dieAfter = 0
		if err := r.Import(t.Context(), x); err != nil {
			t.Fatal(err)
		}
		users := r.snapshot(t).Users
		if len(users) != 900 || x.Done() != 900 {
			t.Errorf("%d users, %d reported", len(users), x.Done())
		}
		ids := map[int]bool{}
		for _, u := range users {
			ids[u.ID] = true
		}
		if len(ids) != 900 {
			t.Errorf("%d different ids", len(ids))
		}
	})
}

func TestImportOfAThousand(t *testing.T) {
	each(t, func(t *testing.T, r *room) {
		r.group(t, "staff")
		var csv strings.Builder
		for i := range 1000 {
			fmt.Fprintf(&csv, "u%04d;password %d;User %d;staff\n", i, i, i)
		}
		x := r.importCSV(t, csv.String())
		if x.Done() != 1000 || len(r.snapshot(t).Groups[0].Members) != 1000 {
			t.Errorf("%d done", x.Done())
		}
	})
}

func TestImportFilesThatAreRefused(t *testing.T) {
	r := newRoom(t, dbtest.SQLite(t, migrations...))
	for _, c := range []struct{ csv, code string }{
		{"", "user.import_empty"},
		{"\n\n", "user.import_empty"},
		{"name;password\n", "user.import_empty"},
		{"name;passwort\nanna;correct horse", "user.import_header"},
		{"name;name\nanna;correct horse", "user.import_header"},
		{"\xff\xfea\x00", "user.import_encoding"},
		{"m\xfcller;correct horse", "user.import_encoding"},
		{strings.Repeat("a;b\n", 10_001), "user.import_too_long"},
	} {
		if _, err := r.StartImport(t.Context(), []byte(c.csv)); !problem.Is(err, c.code) || r.job != nil {
			t.Errorf("%.20q: %v, want %s", c.csv, err, c.code)
		}
	}
	if _, err := r.StartImport(t.Context(), []byte(strings.Repeat("a;b\n", 10_000))); err != nil {
		t.Errorf("10,000 lines: %v", err)
	}
}
