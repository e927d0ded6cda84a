package object_test

import (
	"context"
	"testing"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/object"
)

func TestSet(t *testing.T) {
	t0 := time.Unix(1000, 0)
	c := object.Set(nil, object.Condition{Type: object.Ready, Status: object.False, Reason: "a"}, t0)
	before := c
	c = object.Set(c, object.Condition{Type: object.Ready, Status: object.False, Reason: "b"}, t0.Add(time.Minute))
	if got := object.Find(c, object.Ready); got.Reason != "b" || !got.LastTransitionAt.Equal(t0) {
		t.Errorf("the same status: %+v", got)
	}
	if object.Find(before, object.Ready).Reason != "a" {
		t.Error("the input was changed")
	}
	c = object.Set(c, object.Condition{Type: object.Ready, Status: object.True}, t0.Add(time.Hour))
	if got := object.Find(c, object.Ready); !got.LastTransitionAt.Equal(t0.Add(time.Hour)) {
		t.Errorf("another status: %+v", got)
	}
	c = object.Set(c, object.Condition{Type: object.Applied, Status: object.True}, t0)
	if len(c) != 2 || c[0].Type != object.Applied || !object.Is(c, object.Ready, object.True) || object.Is(c, object.InSync, object.True) {
		t.Errorf("%+v", c)
	}
}

func TestMatch(t *testing.T) {
	m := object.Meta{Revision: 7}
	for tag, want := range map[string]bool{`"7"`: true, `*`: true, `"6", "7"`: true, `"6"`: false, `7`: false, ``: false, `W/"7"`: false} {
		if err := m.Match(tag); (err == nil) != want {
			t.Errorf("If-Match %s: %v", tag, err)
		}
	}
}

func TestUID(t *testing.T) {
	ctx := object.WithUIDSeed(context.Background(), "a")
	if again := object.UID(ctx); object.UID(ctx) != again || again == object.UID(object.WithUIDSeed(context.Background(), "b")) {
		t.Error("a seeded UID is not a function of its seed")
	}
	if first, second := object.UID(context.Background()), object.UID(context.Background()); first == second {
		t.Error("two UIDs are the same")
	}
}
