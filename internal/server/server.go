package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pve-smb-gateway/smbgw/internal/audit"
	"github.com/pve-smb-gateway/smbgw/internal/auth"
	"github.com/pve-smb-gateway/smbgw/internal/clock"
	"github.com/pve-smb-gateway/smbgw/internal/db"
	"github.com/pve-smb-gateway/smbgw/internal/desired"
	"github.com/pve-smb-gateway/smbgw/internal/event"
	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/internal/identity"
	"github.com/pve-smb-gateway/smbgw/internal/link"
	"github.com/pve-smb-gateway/smbgw/internal/live"
	"github.com/pve-smb-gateway/smbgw/internal/node"
	"github.com/pve-smb-gateway/smbgw/internal/pki"
	"github.com/pve-smb-gateway/smbgw/internal/secret"
	"github.com/pve-smb-gateway/smbgw/internal/share"
	"github.com/pve-smb-gateway/smbgw/internal/task"
)

// Config of a control plane.
type Config struct {
	// Dir holds keys, certificates and, by default, the store.
	Dir string
	// Database is sqlite:PATH or postgres://…; empty means sqlite in Dir.
	Database string
	// Listen is host:port of the console, the API and the agents' link.
	Listen string
	// Hosts are further names and addresses under which the server is reached, for its certificate and for links.
	Hosts   []string
	Version string
	Log     *slog.Logger
	Clock   clock.Clock // nil: the machine's
}

// Server is a control plane. Make one with [New], then call [Server.Run] once.
type Server struct {
	cfg    Config
	slog   *slog.Logger
	db     *db.DB
	events *event.Log
	ca     *pki.Authority
	cert   *pki.ServerCertificate

	store *marked
	link  *link.Server
	api   *httpapi.API
	auth  *auth.Service
	nodes *node.Service
	tasks *task.Service

	listener net.Listener
	closing  chan struct{}
}

// migrations of all rooms, in no particular order: no table refers to another room's.
var migrations = []db.Migrations{
	event.Migrations, httpapi.Migrations, audit.Migrations, auth.Migrations, identity.Migrations, node.Migrations,
	share.Migrations, task.Migrations,
}

// keepEvents is how many events a client may miss before it has to read everything anew.
const keepEvents = 200_000

// keepTasks is how long tasks that have ended can be looked up.
const keepTasks = 90 * 24 * time.Hour

// New opens the store, brings it up to date, wires the rooms and listens. It serves nothing before [Server.Run].
func New(ctx context.Context, cfg Config) (_ *Server, err error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.System
	}
	if cfg.Database == "" {
		cfg.Database = "sqlite:" + filepath.Join(cfg.Dir, "store.db")
	}
	s := &Server{cfg: cfg, slog: cfg.Log, closing: make(chan struct{})}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.ca, err = pki.Open(filepath.Join(cfg.Dir, "pki"), cfg.Clock); err != nil {
		return nil, err
	}
	if s.cert, err = s.ca.Server(cfg.Hosts...); err != nil {
		return nil, err
	}
	sealer, err := secret.Open(filepath.Join(cfg.Dir, "seal.key"))
	if err != nil {
		return nil, err
	}
	if s.db, err = db.Open(ctx, cfg.Database); err != nil {
		return nil, err
	}
	if err := s.db.Migrate(ctx, migrations...); err != nil {
		return nil, err
	}
	if s.listener, err = net.Listen("tcp", cfg.Listen); err != nil {
		return nil, fmt.Errorf("the console's address %s cannot be used: %w. Choose another with --listen", cfg.Listen, err)
	}
	s.wire(sealer)
	if err := s.nodes.Start(ctx); err != nil {
		return nil, err
	}
	head, err := s.events.Head(ctx)
	if err != nil {
		return nil, err
	}
	return s, s.store.check(ctx, head, s.slog)
}

// wire makes the rooms and passes each the neighbours it asks for.
func (s *Server) wire(sealer *secret.Sealer) {
	c := s.cfg.Clock
	s.events = event.NewLog(s.db, c)
	trail := audit.NewLog(s.db, c)
	rec := recorder{trail, s.events}

	s.auth = auth.NewService(s.db, c, s.slog, trail, rec)
	s.tasks = task.New(task.Deps{DB: s.db, Clock: c, Events: s.events, Recorder: rec, Sealer: sealer, Log: s.slog})
	s.nodes = node.NewService(s.db, c, s.events, rec, node.Options{ServerURL: s.URL(), Fingerprint: s.ca.Fingerprint()})
	sharesLater := &neighbours{}
	people := identity.New(identity.Deps{DB: s.db, Clock: c, Events: s.events, Recorder: rec, Sealer: sealer, Log: s.slog,
		Shares: sharesLater, StartTask: func(ctx context.Context, kind, title string, total int, payload any) (string, error) {
			t, err := s.tasks.Start(ctx, kind, title, total, payload)
			return t.UID, err
		}})
	s.tasks.Register(identity.ImportKind, func(ctx context.Context, run *task.Run) error { return people.Import(ctx, run) })
	shares := share.NewService(s.db, c, s.events, rec, s.nodes, people)
	sharesLater.Service = shares

	s.store = &marked{Service: s.nodes, file: filepath.Join(s.cfg.Dir, "highest-revision")}
	s.link = link.NewServer(s.nodes, s.store, s.ca, link.Options{Log: s.slog, Clock: c})
	s.nodes.Bind(node.Neighbours{
		Contributors: []desired.Contributor{people, shares},
		Observers:    []desired.Observer{people, shares},
		Forget:       []func(context.Context, string) error{shares.ForgetNode, people.ForgetNode},
		Disconnect:   s.link.Disconnect,
	})

	s.api = httpapi.New(httpapi.Options{Authorize: s.auth.Authorize, Authenticate: s.auth.Middleware,
		DB: s.db, Clock: c, Log: s.slog})
	auth.Mount(s.api, s.auth)
	audit.Mount(s.api, trail)
	identity.Mount(s.api, people)
	node.Mount(s.api, s.nodes)
	share.Mount(s.api, shares)
	task.Mount(s.api, s.tasks)
	live.New(s.events, s.auth.Authorize, s.slog, s.closing).Mount(s.api)
	s.mountHealth()
}

// neighbours lets rooms that are made before the room of shares ask it.
type neighbours struct{ *share.Service }

// recorder writes a change to the audit trail and to the event log, in the change's own transaction.
type recorder struct {
	trail  *audit.Log
	events *event.Log
}

func (r recorder) Record(ctx context.Context, c event.Change) error {
	if err := r.trail.Append(ctx, c); err != nil {
		return err
	}
	return r.events.Append(ctx, event.Event{Type: c.Action, Kind: c.Kind, UID: c.UID, Name: c.Name, Revision: c.Revision, Scopes: c.Scopes})
}

// Run serves until ctx ends, then stops in order. Running requests get ten seconds to end.
func (s *Server) Run(ctx context.Context) error {
	defer func() { _ = s.Close() }()
	plain := http.NewServeMux()
	s.link.Mount(plain)
	plain.Handle("/api/", s.api.Handler())
	s.mountConsole(plain)
	srv := &http.Server{
		Handler: plain, TLSConfig: s.cert.TLSConfig(),
		ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog: slog.NewLogLogger(s.slog.Handler(), slog.LevelDebug), // failed handshakes of strangers
	}
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	wg.Go(func() { s.nudge(work) })
	wg.Go(func() { s.tasks.Run(work) })
	wg.Go(func() { s.tidy(work) })
	served := make(chan error, 1)
	go func() { served <- srv.Serve(tls.NewListener(s.listener, srv.TLSConfig)) }()
	s.slog.InfoContext(ctx, "server started", "listen", s.listener.Addr().String(), "fingerprint", s.ca.Fingerprint(), "version", s.cfg.Version)

	var err error
	select {
	case <-ctx.Done():
	case err = <-served:
	}
	close(s.closing)
	for _, uid := range s.link.Attached() {
		s.link.Disconnect(uid)
	}
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	err = errors.Join(err, srv.Shutdown(end))
	stop()
	wg.Wait()
	return err
}

// Close releases what [New] has opened, when Run is not called.
func (s *Server) Close() error {
	var errs []error
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	return errors.Join(errs...)
}

// tidy forgets what is no longer needed.
func (s *Server) tidy(ctx context.Context) {
	for {
		if err := errors.Join(s.events.Prune(ctx, keepEvents), s.api.PruneAnswers(ctx), s.auth.Prune(ctx),
			s.tasks.Prune(ctx, keepTasks)); err != nil && ctx.Err() == nil {
			s.slog.WarnContext(ctx, "tidying failed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(10 * time.Minute):
		}
	}
}

// Addr returns host:port on which the server listens.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// URL returns the address at which people and agents reach the server.
func (s *Server) URL() string {
	host, port, err := net.SplitHostPort(s.Addr())
	if err != nil {
		return "https://" + s.Addr()
	}
	if len(s.cfg.Hosts) > 0 {
		host = s.cfg.Hosts[0]
	} else if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		if name, err := os.Hostname(); err == nil {
			host = name
		}
	}
	return "https://" + net.JoinHostPort(host, port)
}

// Fingerprint returns the fingerprint of the CA, to be pinned by agents and the CLI.
func (s *Server) Fingerprint() string { return s.ca.Fingerprint() }

// LocalToken keeps, in the file at path, a token for the command line on this machine; see the auth room.
func (s *Server) LocalToken(ctx context.Context, path string) error {
	return s.auth.LocalToken(ctx, path)
}

// Bootstrap returns a one-time code for the first set-up, or "" when there is an account already.
func (s *Server) Bootstrap(ctx context.Context) (code string, err error) {
	return s.auth.Bootstrap(ctx)
}

// EnrolmentToken makes a one-time token for a machine that shall be the node called name.
func (s *Server) EnrolmentToken(ctx context.Context, name string) (secret.String, error) {
	e, err := s.nodes.CreateEnrolment(ctx, node.EnrolmentSpec{Name: name})
	return secret.NewString(e.Token), err
}
