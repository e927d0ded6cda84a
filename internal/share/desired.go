package share

import (
	"context"
	"slices"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// Contribute implements [desired.Contributor].
func (s *Service) Contribute(ctx context.Context, nodeUID string, snap *desired.Snapshot) error {
	shares, err := s.store.ofNode(ctx, nodeUID)
	if err != nil {
		return err
	}
	for _, sh := range shares {
		if !sh.deletingAt.IsZero() {
			continue
		}
		snap.Shares = append(snap.Shares, desired.Share{
			UID: sh.UID, Name: sh.Name, Generation: sh.Generation, Path: sh.Path, CreatePath: *sh.CreatePath, Comment: sh.Comment,
			ReadOnly: sh.ReadOnly, Browseable: *sh.Browseable, ValidUsers: sh.ValidUsers, ReadList: sh.ReadList,
			WriteList: sh.WriteList, Parameters: sh.Parameters,
		})
	}
	return nil
}

// Observe implements [desired.Observer]: it takes over what a node reports of shares that it holds in the generation
// that is reported, and lets go of deleted shares that the node no longer has. It writes only what differs.
func (s *Service) Observe(ctx context.Context, r *desired.Report) error {
	shares, err := s.store.ofNode(ctx, r.NodeUID)
	if err != nil {
		return err
	}
	reported := make(map[string]*desired.ObjectReport, len(r.Objects))
	for i := range r.Objects {
		if o := &r.Objects[i]; o.Kind == desired.KindShare {
			reported[o.UID] = o
		}
	}
	var events []event.Event
	for i := range shares {
		sh := &shares[i]
		o := reported[sh.UID]
		switch {
		case !sh.deletingAt.IsZero():
			if slices.Contains(r.Held, sh.Name) && sh.hold(s.clock.Now()) {
				if err := s.store.updateStatus(ctx, sh); err != nil {
					return err
				}
				events = append(events, s.event("share.status", sh))
			}
			if o != nil || r.Revision.Number < sh.deletingSeq || slices.Contains(r.Held, sh.Name) {
				continue
			}
			if err := s.store.delete(ctx, sh.UID); err != nil {
				return err
			}
			events = append(events, s.event("share.removed", sh))
		case o != nil && o.ObservedGeneration == sh.Generation && sh.observe(o):
			if err := s.store.updateStatus(ctx, sh); err != nil {
				return err
			}
			events = append(events, s.event("share.status", sh))
		}
	}
	return s.log.Append(ctx, events...)
}

// observe takes over a report and tells whether that changed anything.
func (s *Share) observe(o *desired.ObjectReport) bool {
	same := func(a, b object.Condition) bool {
		return a.Type == b.Type && a.Status == b.Status && a.Reason == b.Reason && a.Message == b.Message && a.ObservedGeneration == b.ObservedGeneration
	}
	old, now := s.Status.Receipt, o.Receipt
	if slices.EqualFunc(s.Status.Conditions, o.Conditions, same) && s.Status.Path == o.Path &&
		(now == nil || old != nil && old.At.Equal(now.At)) {
		return false
	}
	s.Status.Conditions, s.Status.ObservedGeneration, s.Status.Path = o.Conditions, o.ObservedGeneration, o.Path
	if now != nil {
		s.Status.Receipt = now
	}
	s.settle()
	return true
}

// hold says of a deleted share that its node still serves it, and tells whether that is news.
func (s *Share) hold(now time.Time) bool {
	if c := object.Find(s.Status.Conditions, object.Ready); c != nil && c.Reason == ReasonRemovalHeld {
		return false
	}
	s.Status.Conditions = object.Set(s.Status.Conditions, object.Condition{Type: object.Ready, Status: object.Unknown, Reason: ReasonRemovalHeld,
		Message: "The node still serves this share: it holds removals until a person confirms them. " +
			"Confirm on the node's page or by smbgw node confirm-removals.", ObservedGeneration: s.Generation}, now)
	return true
}

func (s *Service) event(typ string, sh *Share) event.Event {
	return event.Event{Type: typ, Kind: "share", UID: sh.UID, Name: sh.Name, Revision: sh.Revision}
}
