package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/uptrace/bun"
)

// Entry is one row of the trail, as clients read it.
type Entry struct {
	Seq        int64           `json:"seq" doc:"Counts entries from 1, without gaps"`
	At         time.Time       `json:"at"`
	Actor      Actor           `json:"actor"`
	RemoteAddr string          `json:"remoteAddr,omitempty" doc:"Network address that the request came from"`
	RequestID  string          `json:"requestID,omitempty"`
	Action     string          `json:"action" example:"share.created"`
	Kind       string          `json:"kind" example:"share" doc:"Kind of object that was changed"`
	UID        string          `json:"uid,omitempty" doc:"The object's UID"`
	Name       string          `json:"name,omitempty" doc:"The object's name at that time"`
	Before     json.RawMessage `json:"before,omitempty" doc:"The object before, without secrets; absent when it was created"`
	After      json.RawMessage `json:"after,omitempty" doc:"The object after, without secrets; absent when it was deleted"`
	Hash       string          `json:"hash" doc:"SHA-256 over this entry and the hash before it"`
}

// Actor is who did it.
type Actor struct {
	Kind string `json:"kind" enum:"account,token,node,system"`
	UID  string `json:"uid,omitempty"`
	Name string `json:"name"`
}

type row struct {
	bun.BaseModel `bun:"table:audit_log"`
	Seq           int64     `bun:"seq,pk"`
	At            time.Time `bun:"at"`
	ActorKind     string    `bun:"actor_kind"`
	ActorUID      string    `bun:"actor_uid"`
	ActorName     string    `bun:"actor_name"`
	RemoteAddr    string    `bun:"remote_addr"`
	RequestID     string    `bun:"request_id"`
	Action        string    `bun:"action"`
	Kind          string    `bun:"kind"`
	UID           string    `bun:"uid"`
	Name          string    `bun:"name"`
	Before        string    `bun:"before_json"`
	After         string    `bun:"after_json"`
	PrevHash      string    `bun:"prev_hash"`
	Hash          string    `bun:"hash"`
	Search        string    `bun:"search"`
}

// newRow returns the row of a change by actor, not yet in the chain. It fails when before or after is not JSON.
func newRow(actor event.Actor, requestID string, c event.Change, at time.Time) (*row, error) {
	before, err := document(c.Before)
	if err != nil {
		return nil, err
	}
	after, err := document(c.After)
	if err != nil {
		return nil, err
	}
	r := &row{
		At: at.UTC().Truncate(time.Microsecond), ActorKind: clean(actor.Kind), ActorUID: clean(actor.UID), ActorName: clean(actor.Name),
		RemoteAddr: clean(actor.RemoteAddr), RequestID: clean(requestID), Action: clean(c.Action), Kind: clean(c.Kind),
		UID: clean(c.UID), Name: clean(c.Name), Before: before, After: after,
	}
	r.Search = r.searchText()
	return r, nil
}

func document(v any) (string, error) {
	if v == nil {
		return "", nil
	}
	raw, err := json.Marshal(v)
	return string(raw), err
}

// clean makes text storable on both engines: PostgreSQL takes neither NUL nor broken UTF-8.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

func (r *row) searchText() string {
	return strings.ToLower(strings.Join([]string{r.Action, r.Kind, r.Name, r.UID, r.ActorName, r.ActorKind, r.RemoteAddr, r.RequestID}, " "))
}

// format names the canonical form below; a new form needs a new name, and Verify must go on reading the old one.
const format = "smbgw-audit-1"

// sum returns the hash of the row behind the hash prev. Every field goes in with its length before it, so that no two
// rows have the same canonical form.
func (r *row) sum(prev string) string {
	h := sha256.New()
	for _, field := range []string{
		format, prev, strconv.FormatInt(r.Seq, 10), r.At.UTC().Format(time.RFC3339Nano), r.ActorKind, r.ActorUID, r.ActorName,
		r.RemoteAddr, r.RequestID, r.Action, r.Kind, r.UID, r.Name, r.Before, r.After, r.Search,
	} {
		var length [8]byte
		binary.BigEndian.PutUint64(length[:], uint64(len(field)))
		_, _ = h.Write(length[:]) // a hash never fails
		_, _ = h.Write([]byte(field))
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (r *row) entry() Entry {
	return Entry{
		Seq: r.Seq, At: r.At.UTC(), Actor: Actor{Kind: r.ActorKind, UID: r.ActorUID, Name: r.ActorName}, RemoteAddr: r.RemoteAddr,
		RequestID: r.RequestID, Action: r.Action, Kind: r.Kind, UID: r.UID, Name: r.Name,
		Before: json.RawMessage(r.Before), After: json.RawMessage(r.After), Hash: r.Hash,
	}
}
