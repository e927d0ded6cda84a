package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
	"github.com/pve-smb-gateway/smbgw/internal/problem"
	"github.com/uptrace/bun"
)

//go:embed migrations/*.sql
var files embed.FS

// Migrations make the table of answered requests.
var Migrations = db.Migrations{Room: "httpapi", FS: files}

// KeepAnswers is how long an answer can be replayed by its Idempotency-Key.
const KeepAnswers = 24 * time.Hour

type request struct {
	bun.BaseModel `bun:"table:httpapi_request"`
	ID            string    `bun:"id,pk"` // hash of actor, method, path and key
	Body          string    `bun:"body_hash"`
	Status        int       `bun:"status"`
	ContentType   string    `bun:"content_type"`
	ETag          string    `bun:"etag"`
	Answer        []byte    `bun:"answer"`
	At            time.Time `bun:"at"`
}

// idempotent answers a POST that comes again with the same Idempotency-Key with its first answer. Should the server die
// between the change and the keeping of the answer, the seeded UID ([object.UID]) lets the second attempt meet the first.
// Answers marked no-store hold secrets and are not kept.
func (a *API) idempotent(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.Header.Get("Idempotency-Key")
		actor := event.ActorOf(r.Context())
		if r.Method != http.MethodPost || key == "" || actor.Kind == event.System.Kind {
			next.ServeHTTP(w, r)
			return
		}
		if len(key) > 200 {
			WriteProblem(w, r, problem.New(http.StatusBadRequest, problem.CodeInvalid, "Idempotency-Key: at most 200 characters."))
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			WriteProblem(w, r, problem.New(http.StatusRequestEntityTooLarge, problem.CodeTooLarge, "The request body could not be read: it is too large or was cut off."))
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		id, sum := hash(actor.Kind, actor.UID, actor.Name, r.URL.Path, key), hash(r.URL.RawQuery, string(body))
		var known request
		err = a.opts.DB.Conn(r.Context()).NewSelect().Model(&known).Where("id = ?", id).Scan(r.Context())
		if err == nil && known.At.After(a.opts.Clock.Now().Add(-KeepAnswers)) {
			a.replay(w, r, &known, sum)
			return
		}
		rec := &keeper{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(rec, r.WithContext(object.WithUIDSeed(r.Context(), id+sum)))
		h := rec.Header()
		if rec.status >= http.StatusInternalServerError || rec.status == http.StatusTooManyRequests || strings.Contains(h.Get("Cache-Control"), "no-store") {
			return
		}
		answer := &request{ID: id, Body: sum, Status: rec.status, ContentType: h.Get("Content-Type"), ETag: h.Get("ETag"), Answer: rec.body.Bytes(), At: a.opts.Clock.Now()}
		// The change is done: a lost answer costs only the replay, so a client that is gone must not stop it.
		ctx := context.WithoutCancel(r.Context())
		err = a.opts.DB.Tx(ctx, func(ctx context.Context) error {
			_, err := a.opts.DB.Conn(ctx).NewInsert().Model(answer).On("CONFLICT (id) DO NOTHING").Exec(ctx)
			return err
		})
		if err != nil {
			a.opts.Log.WarnContext(ctx, "the answer could not be kept for its Idempotency-Key", "error", err)
		}
	})
}

func (a *API) replay(w http.ResponseWriter, r *http.Request, known *request, sum string) {
	if known.Body != sum {
		WriteProblem(w, r, problem.New(http.StatusUnprocessableEntity, problem.CodeKeyReused,
			"This Idempotency-Key was used for another request. Make a new key for each new request."))
		return
	}
	h := w.Header()
	h.Set("Content-Type", known.ContentType)
	h.Set("Idempotent-Replayed", "true")
	if known.ETag != "" {
		h.Set("ETag", known.ETag)
	}
	w.WriteHeader(known.Status)
	_, _ = w.Write(known.Answer) // the client may be gone
}

// PruneAnswers forgets answers that are no longer replayed.
func (a *API) PruneAnswers(ctx context.Context) error {
	return a.opts.DB.Tx(ctx, func(ctx context.Context) error {
		_, err := a.opts.DB.Conn(ctx).NewDelete().Model((*request)(nil)).Where("at < ?", a.opts.Clock.Now().Add(-KeepAnswers)).Exec(ctx)
		return err
	})
}

type keeper struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (k *keeper) WriteHeader(status int) {
	k.status = status
	k.ResponseWriter.WriteHeader(status)
}

func (k *keeper) Write(b []byte) (int, error) {
	k.body.Write(b)
	return k.ResponseWriter.Write(b)
}

func (k *keeper) Unwrap() http.ResponseWriter { return k.ResponseWriter }

func hash(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		_, _ = io.WriteString(h, p)
		_, _ = h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil))
}
