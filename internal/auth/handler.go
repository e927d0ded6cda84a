package auth

import (
	"context"
	"net/http"

	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/object"
)

// Status is what anybody may know.
type Status struct {
	SetupRequired bool `json:"setupRequired" doc:"There is no account yet: POST /auth/setup with the code that smbgw printed"`
}

type loginAnswer struct {
	SetCookie []http.Cookie `header:"Set-Cookie"`
	Body      Me
}

func answer(l Login, err error) (*loginAnswer, error) {
	if err != nil {
		return nil, err
	}
	return &loginAnswer{SetCookie: cookies(l.secret), Body: l.Me}, nil
}

// Mount registers REST /auth, /accounts and /tokens.
func Mount(api *httpapi.API, s *Service) {
	mountAuth(api, s)
	httpapi.Resource[AccountSpec, Account]{
		Kind: "account", Plural: "accounts", Audit: "Auth.Audit", Modify: "Auth.Modify",
		List: s.Accounts, Get: s.Account, Create: s.CreateAccount, Update: s.UpdateAccount,
		Delete: func(ctx context.Context, uid, ifMatch string) (*Account, error) {
			return nil, s.DeleteAccount(ctx, uid, ifMatch)
		},
		Spec: func(a Account) AccountSpec { return a.AccountSpec },
		Meta: func(a Account) object.Meta { return a.Meta },
	}.Mount(api)
	httpapi.Resource[TokenSpec, Token]{
		Kind: "token", Plural: "tokens", Audit: httpapi.LoggedIn, Modify: httpapi.LoggedIn, // the service knows whose
		List: s.Tokens, Get: s.Token, Create: s.CreateToken,
		Delete: func(ctx context.Context, uid, ifMatch string) (*Token, error) {
			return nil, s.RevokeToken(ctx, uid, ifMatch)
		},
		Spec: func(t Token) TokenSpec { return t.TokenSpec },
		Meta: func(t Token) object.Meta { return t.Meta },
	}.Mount(api)
}

func mountAuth(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Op{
		ID: "get-auth-status", Method: http.MethodGet, Path: "/auth/status", Summary: "Tell whether the first set-up is still to be done", Tag: "auth", Privilege: httpapi.Public,
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body Status }, error) {
		required, err := s.SetupRequired(ctx)
		return &struct{ Body Status }{Status{required}}, err
	})
	httpapi.Register(api, httpapi.Op{
		ID: "setup", Method: http.MethodPost, Path: "/auth/setup", Summary: "Make the first administrator and log in", Tag: "auth", Privilege: httpapi.Public,
		Description: "Works once, with the code that smbgw prints at its start while there is no account. The code is valid for 15 minutes.",
	}, func(ctx context.Context, in *struct {
		Body struct {
			Code     string `json:"code" maxLength:"100" example:"7K3M-9QXT-2VBD-8RHN"`
			Name     string `json:"name" minLength:"1" maxLength:"64"`
			Password string `json:"password" minLength:"1" maxLength:"1024"`
		}
	}) (*loginAnswer, error) {
		return answer(s.Setup(ctx, in.Body.Code, in.Body.Name, in.Body.Password))
	})
	httpapi.Register(api, httpapi.Op{
		ID: "login", Method: http.MethodPost, Path: "/auth/login", Summary: "Log in", Tag: "auth", Privilege: httpapi.Public,
		Description: "Sets the cookie of the session and the cookie " + CSRFCookie + ", whose value belongs into the header " + CSRFHeader + " of every request that changes something.",
	}, func(ctx context.Context, in *struct {
		Body struct {
			Name     string `json:"name" minLength:"1" maxLength:"256"`
			Password string `json:"password" minLength:"1" maxLength:"1024"`
		}
	}) (*loginAnswer, error) {
		return answer(s.Login(ctx, in.Body.Name, in.Body.Password))
	})
	httpapi.Register(api, httpapi.Op{
		ID: "logout", Method: http.MethodPost, Path: "/auth/logout", Summary: "End this session", Tag: "auth", Privilege: httpapi.LoggedIn, Status: http.StatusNoContent,
	}, func(ctx context.Context, _ *struct{}) (*struct {
		SetCookie []http.Cookie `header:"Set-Cookie"`
	}, error) {
		return &struct {
			SetCookie []http.Cookie `header:"Set-Cookie"`
		}{cookies("")}, s.Logout(ctx)
	})
	httpapi.Register(api, httpapi.Op{
		ID: "get-me", Method: http.MethodGet, Path: "/auth/me", Summary: "Tell who I am and what I may do", Tag: "auth", Privilege: httpapi.LoggedIn,
	}, func(ctx context.Context, _ *struct{}) (*struct{ Body Me }, error) {
		return &struct{ Body Me }{principalOf(ctx).me()}, nil
	})
	httpapi.Register(api, httpapi.Op{
		ID: "change-password", Method: http.MethodPost, Path: "/auth/password", Summary: "Change my password; ends all my other sessions", Tag: "auth", Privilege: httpapi.LoggedIn,
	}, func(ctx context.Context, in *struct {
		Body struct {
			Current string `json:"current" maxLength:"1024"`
			New     string `json:"new" minLength:"1" maxLength:"1024"`
		}
	}) (*loginAnswer, error) {
		return answer(s.ChangePassword(ctx, in.Body.Current, in.Body.New))
	})
	httpapi.Register(api, httpapi.Op{
		ID: "list-sessions", Method: http.MethodGet, Path: "/auth/sessions", Summary: "List my sessions", Tag: "auth", Privilege: httpapi.LoggedIn,
	}, func(ctx context.Context, in *struct{ db.ListQuery }) (*struct{ Body db.Page[Session] }, error) {
		page, err := s.Sessions(ctx, in.ListQuery)
		return &struct{ Body db.Page[Session] }{page}, err
	})
	httpapi.Register(api, httpapi.Op{
		ID: "end-session", Method: http.MethodDelete, Path: "/auth/sessions/{uid}", Summary: "End one of my sessions", Tag: "auth", Privilege: httpapi.LoggedIn, Status: http.StatusNoContent,
	}, func(ctx context.Context, in *struct {
		httpapi.UID
		httpapi.IfMatch
	}) (*struct{}, error) {
		return nil, s.EndSession(ctx, in.UID.UID, in.IfMatch.IfMatch)
	})
}
