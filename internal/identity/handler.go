package identity

import (
	"context"
	"net/http"

	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

const (
	audit  = "Identity.Audit"
	modify = "Identity.Modify"
)

// Mount adds the room's operations to the API.
func Mount(a *httpapi.API, s *Service) {
	httpapi.Resource[UserSpec, User]{
		Kind: kindUser, Plural: "users", Audit: audit, Modify: modify,
		List: s.ListUsers, Get: s.GetUser, Create: s.CreateUser, Update: s.UpdateUser,
		Spec: func(u User) UserSpec { return u.spec() },
		Meta: func(u User) object.Meta { return u.Meta },
	}.Mount(a)
	httpapi.Resource[GroupSpec, Group]{
		Kind: kindGroup, Plural: "groups", Audit: audit, Modify: modify,
		List: s.ListGroups, Get: s.GetGroup, Create: s.CreateGroup, Update: s.UpdateGroup,
		Spec: func(g Group) GroupSpec { return g.spec() },
		Meta: func(g Group) object.Meta { return g.Meta },
	}.Mount(a)
	mountDelete(a, kindUser, "users", s.DeleteUser)
	mountDelete(a, kindGroup, "groups", s.DeleteGroup)
	httpapi.Register(a, httpapi.Op{
		ID: "import-users", Method: http.MethodPost, Path: "/users/import", Summary: "Import users from CSV", Tag: kindUser,
		Description: "Lines `name;password;fullName;group,group` (or with commas), at most 10,000, UTF-8. A first line that starts with `name` " +
			"names the columns. New users are created; of users that exist, a password and a full name that are given are changed, " +
			"and groups are added. A line that is wrong does not stop the others: the task has the result of each.",
		Privilege: modify, Status: http.StatusAccepted, MaxBodyBytes: maxImportBytes,
	}, func(ctx context.Context, in *struct {
		RawBody []byte `contentType:"text/csv"`
	}) (*importOutput, error) {
		started, err := s.StartImport(ctx, in.RawBody)
		if err != nil {
			return nil, err
		}
		return &importOutput{Location: httpapi.Prefix + "/tasks/" + started.TaskUID, Body: started}, nil
	})
}

type importOutput struct {
	Location string `header:"Location"`
	Body     ImportStarted
}

func mountDelete(a *httpapi.API, kind, plural string, del func(ctx context.Context, uid, ifMatch string, force bool) error) {
	httpapi.Register(a, httpapi.Op{
		ID: "delete-" + kind, Method: http.MethodDelete, Path: "/" + plural + "/{uid}", Summary: "Delete a " + kind, Tag: kind,
		Description: "Refused with " + kind + codeInUse + " while shares name the " + kind + ", unless force is set. Files stay.",
		Privilege:   modify, Status: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		httpapi.UID
		httpapi.IfMatch
		Force bool `query:"force" doc:"Delete even if shares name it"`
	}) (*struct{}, error) {
		return nil, del(ctx, in.UID.UID, in.IfMatch.IfMatch, in.Force)
	})
}
