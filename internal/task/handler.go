package task

import (
	"context"
	"net/http"

	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// Mount registers REST /tasks.
func Mount(api *httpapi.API, s *Service) {
	httpapi.Resource[struct{}, Task]{
		Kind: "task", Plural: "tasks", Audit: "Task.Audit", Modify: "Task.Modify",
		List: s.List, Get: s.Get,
		Meta: func(t Task) object.Meta { return t.Meta },
	}.Mount(api)
	httpapi.Register(api, httpapi.Op{
		ID: "cancel-task", Method: http.MethodPost, Path: "/tasks/{uid}/cancel", Summary: "Cancel a task", Tag: "task", Privilege: "Task.Modify",
		Description: "The task ends before its next step. What its finished steps have done stays.",
	}, func(ctx context.Context, in *httpapi.UID) (*httpapi.One[Task], error) {
		t, err := s.Cancel(ctx, in.UID)
		if err != nil {
			return nil, err
		}
		return &httpapi.One[Task]{ETag: t.ETag(), Body: t}, nil
	})
}
