package db

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/uptrace/bun"
)

// ListQuery is what every list in the API can be asked.
type ListQuery struct {
	Search string `query:"q" maxLength:"200" doc:"Full-text search: every word must occur in some property"`
	Filter string `query:"filter" maxLength:"2000" doc:"Conditions such as: ready eq \"False\" and name ne \"old\". Operators: eq ne lt le gt ge contains startswith"`
	Sort   string `query:"sort" maxLength:"200" doc:"Fields in order, descending with a leading minus, such as: -updatedAt,name"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Items per page"`
	Cursor string `query:"cursor" maxLength:"2000" doc:"nextCursor of the page before"`
}

// Page is one page of a list.
type Page[T any] struct {
	Items      []T    `json:"items" nullable:"false"`
	NextCursor string `json:"nextCursor,omitempty" doc:"Ask for the next page with cursor; absent on the last page"`
	Total      int    `json:"total" doc:"How many items fit search and filter"`
}

// Fields maps the names that clients may filter and sort by to columns.
type Fields struct {
	// Columns maps API names to SQL columns. Its columns are never NULL.
	Columns map[string]string
	// Search lists the columns that the full-text search looks at; they hold lower-case text.
	Search []string
	// Default is the sort order when none is asked for, such as "name".
	Default string
	// UID is the column that makes the order total.
	UID string
}

type term struct {
	column string
	desc   bool
}

// List runs q over sel, which selects from the room's table, and scans one page into rows. key returns a row's UID and
// its value for an API field, for the cursor. Errors in q are problems with code request.invalid.
func List[R any](ctx context.Context, sel *bun.SelectQuery, f Fields, q ListQuery, rows *[]R, key func(row *R, field string) any) (next string, total int, err error) {
	if q.Limit <= 0 {
		q.Limit = 100
	}
	if !storable(q.Search) {
		return "", 0, invalid("q", "Text cannot have NUL characters.")
	}
	for word := range strings.FieldsSeq(strings.ToLower(q.Search)) {
		like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(word) + "%"
		sel = sel.WhereGroup(" AND ", func(g *bun.SelectQuery) *bun.SelectQuery {
			for _, col := range f.Search {
				g = g.WhereOr(`? LIKE ? ESCAPE '\'`, bun.Ident(col), like)
			}
			return g
		})
	}
	if sel, err = where(sel, f, q.Filter); err != nil {
		return "", 0, err
	}
	names, terms, err := order(f, q.Sort)
	if err != nil {
		return "", 0, err
	}
	count, err := sel.Clone().Count(ctx)
	if err != nil {
		return "", 0, mistyped(err)
	}
	total = int(count)
	if q.Cursor != "" {
		if sel, err = after(sel, q, terms); err != nil {
			return "", 0, err
		}
	}
	for _, t := range terms {
		if t.desc {
			sel = sel.OrderExpr("? DESC", bun.Ident(t.column))
		} else {
			sel = sel.OrderExpr("? ASC", bun.Ident(t.column))
		}
	}
	if err := sel.Limit(int64(q.Limit)+1).Scan(ctx, rows); err != nil {
		return "", 0, mistyped(err)
	}
	if len(*rows) > q.Limit {
		*rows = (*rows)[:q.Limit]
		last := &(*rows)[q.Limit-1]
		c := cursor{Sort: q.Sort}
		for _, n := range names {
			c.Values = append(c.Values, toValue(key(last, n)))
		}
		raw, err := json.Marshal(c)
		if err != nil {
			return "", 0, err
		}
		next = base64.RawURLEncoding.EncodeToString(raw)
	}
	return next, total, nil
}

// storable says whether the store can compare with text: neither engine takes NUL.
func storable(v any) bool {
	text, _ := v.(string)
	return !strings.ContainsRune(text, 0)
}

// mistyped turns PostgreSQL's complaint about a value of the wrong type into the client's; SQLite just finds nothing.
func mistyped(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "42883" || pg.Code == "22P02") {
		return invalid("filter", "A value is of another type than its field.")
	}
	return err
}

type cursor struct {
	Sort   string  `json:"s"`
	Values []value `json:"v"`
}

// value keeps a time a time: the engines compare it in their own form, not as JSON text.
type value struct {
	Any  any        `json:"v,omitempty"`
	Time *time.Time `json:"t,omitempty"`
}

func toValue(v any) value {
	if t, ok := v.(time.Time); ok {
		return value{Time: &t}
	}
	return value{Any: v}
}

func (v value) arg() any {
	if v.Time != nil {
		return *v.Time
	}
	return v.Any
}

func order(f Fields, sort string) (names []string, terms []term, err error) {
	if sort == "" {
		sort = f.Default
	}
	for name := range strings.SplitSeq(sort, ",") {
		name, desc := strings.CutPrefix(strings.TrimSpace(name), "-")
		col, ok := f.Columns[name]
		if !ok {
			return nil, nil, invalid("sort", fmt.Sprintf("Cannot sort by %q. Possible: %s.", name, f.names()))
		}
		names, terms = append(names, name), append(terms, term{col, desc})
	}
	return append(names, "uid"), append(terms, term{f.UID, false}), nil
}

// after adds the condition that a row stands behind the cursor in the order of terms:
// a > x OR (a = x AND (b > y OR …)).
func after(sel *bun.SelectQuery, q ListQuery, terms []term) (*bun.SelectQuery, error) {
	var c cursor
	raw, err := base64.RawURLEncoding.DecodeString(q.Cursor)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.Sort != q.Sort || len(c.Values) != len(terms) {
		return nil, invalid("cursor", "This cursor does not belong to this list. Start again without a cursor.")
	}
	for _, v := range c.Values {
		if !storable(v.Any) {
			return nil, invalid("cursor", "This cursor does not belong to this list. Start again without a cursor.")
		}
	}
	var expr strings.Builder
	var args []any
	for i, t := range terms {
		op := ">"
		if t.desc {
			op = "<"
		}
		if i > 0 {
			expr.WriteString(" OR (? = ? AND (")
			args = append(args, bun.Ident(terms[i-1].column), c.Values[i-1].arg())
		}
		expr.WriteString("? " + op + " ?")
		args = append(args, bun.Ident(t.column), c.Values[i].arg())
	}
	expr.WriteString(strings.Repeat("))", len(terms)-1))
	return sel.Where(expr.String(), args...), nil
}

var operators = map[string]string{
	"eq": "? = ?", "ne": "? <> ?", "lt": "? < ?", "le": "? <= ?", "gt": "? > ?", "ge": "? >= ?",
	"contains": `LOWER(CAST(? AS TEXT)) LIKE ? ESCAPE '\'`, "startswith": `LOWER(CAST(? AS TEXT)) LIKE ? ESCAPE '\'`,
}

// where reads FIELD OP VALUE [and FIELD OP VALUE …]; values are JSON strings, numbers, true or false.
func where(sel *bun.SelectQuery, f Fields, filter string) (*bun.SelectQuery, error) {
	tokens, err := tokenize(filter)
	if err != nil {
		return nil, err
	}
	for len(tokens) > 0 {
		if len(tokens) < 3 {
			return nil, invalid("filter", `A condition has three parts, such as: name eq "docs".`)
		}
		col, ok := f.Columns[tokens[0]]
		if !ok {
			return nil, invalid("filter", fmt.Sprintf("Cannot filter by %q. Possible: %s.", tokens[0], f.names()))
		}
		expr, ok := operators[tokens[1]]
		if !ok {
			return nil, invalid("filter", fmt.Sprintf("%q is no operator. Possible: eq ne lt le gt ge contains startswith.", tokens[1]))
		}
		var value any
		if err := json.Unmarshal([]byte(tokens[2]), &value); err != nil {
			return nil, invalid("filter", fmt.Sprintf("Put the value %s in double quotes.", tokens[2]))
		}
		if !storable(value) {
			return nil, invalid("filter", "Text cannot have NUL characters.")
		}
		if strings.HasSuffix(strings.ToLower(tokens[0]), "at") {
			text, _ := value.(string)
			at, err := time.Parse(time.RFC3339, text)
			if err != nil {
				return nil, invalid("filter", fmt.Sprintf("%s is a time: write it as \"2026-01-31T12:00:00Z\".", tokens[0]))
			}
			value = at.UTC()
		}
		if strings.Contains(expr, "LIKE") {
			text := strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(strings.ToLower(fmt.Sprint(value))) + "%"
			if tokens[1] == "contains" {
				text = "%" + text
			}
			value = text
		}
		sel = sel.Where(expr, bun.Ident(col), value)
		if tokens = tokens[3:]; len(tokens) > 0 {
			if tokens[0] != "and" {
				return nil, invalid("filter", fmt.Sprintf("Expected \"and\" before %q.", tokens[0]))
			}
			if tokens = tokens[1:]; len(tokens) == 0 {
				return nil, invalid("filter", `A condition is missing behind "and".`)
			}
		}
	}
	return sel, nil
}

// tokenize splits at white space, but not inside double quotes.
func tokenize(s string) ([]string, error) {
	var out []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimLeftFunc(s, unicode.IsSpace) {
		end := strings.IndexFunc(s, unicode.IsSpace)
		if s[0] == '"' {
			end = 1
			for end < len(s) && s[end] != '"' {
				if s[end] == '\\' {
					end++
				}
				end++
			}
			if end >= len(s) {
				return nil, invalid("filter", "A double quote is not closed.")
			}
			end++
		}
		if end < 0 {
			end = len(s)
		}
		out, s = append(out, s[:end]), s[end:]
	}
	return out, nil
}

func (f Fields) names() string {
	var names []string
	for n := range f.Columns {
		names = append(names, n)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func invalid(parameter, detail string) error {
	return problem.New(http.StatusBadRequest, problem.CodeInvalid, parameter+": "+detail)
}
