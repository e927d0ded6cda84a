package audit

import (
	"context"
	"database/sql"
	"errors"
	"math"
)

// Verdict is what [Log.Verify] found.
type Verdict struct {
	OK       bool   `json:"ok"`
	Entries  int64  `json:"entries" doc:"How many entries were read"`
	BrokenAt *int64 `json:"brokenAt,omitempty" doc:"seq of the first entry that is wrong or missing"`
	Reason   string `json:"reason,omitempty" enum:"changed,missing,unexpected" doc:"changed: the entry or its place differs from what was written; missing: it was removed; unexpected: it was added in front of the first or behind the last"`
	Head     string `json:"head" doc:"The newest hash. Note it elsewhere to find out later whether the whole chain was written anew"`
}

func (v *Verdict) broken(at int64, reason string) { v.OK, v.BrokenAt, v.Reason = false, &at, reason }

const batch = 500

// Verify reads the whole trail, in batches, as of one moment, and returns the first break, if any.
func (l *Log) Verify(ctx context.Context) (Verdict, error) {
	v := Verdict{OK: true}
	err := l.db.Read(ctx, func(ctx context.Context) error {
		v = Verdict{OK: true}
		conn := l.db.Conn(ctx)
		var head struct {
			Seq  int64  `bun:"seq"`
			Hash string `bun:"hash"`
		}
		err := conn.NewRaw("SELECT seq, hash FROM audit_head WHERE id = 1").Scan(ctx, &head)
		if err != nil && !errors.Is(err, sql.ErrNoRows) { // a head that is gone counts as zero
			return err
		}
		v.Head = head.Hash
		prev, last := "", int64(math.MinInt64+1) // also what was put in front of the first
		for {
			var rows []row
			if err := conn.NewSelect().Model(&rows).Where("seq > ?", last).Order("seq").Limit(batch).Scan(ctx); err != nil {
				return err
			}
			for i := range rows {
				r := &rows[i]
				switch want := v.Entries + 1; {
				case r.Seq > head.Seq || r.Seq < want:
					v.broken(r.Seq, "unexpected")
				case r.Seq != want:
					v.broken(want, "missing")
				case r.PrevHash != prev || r.Hash != r.sum(prev):
					v.broken(r.Seq, "changed")
				}
				if !v.OK {
					return nil
				}
				prev, last = r.Hash, r.Seq
				v.Entries++
			}
			if len(rows) < batch {
				break
			}
		}
		switch {
		case v.Entries < head.Seq:
			v.broken(v.Entries+1, "missing")
		case prev != head.Hash:
			v.broken(v.Entries, "changed")
		}
		return nil
	})
	return v, err
}
