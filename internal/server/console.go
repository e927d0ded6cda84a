package server

import (
	"context"
	"io/fs"
	"net/http"
	"path"
	"strings"

	"github.com/pve-smb-gateway/smbgw/internal/httpapi"
	"github.com/pve-smb-gateway/smbgw/web"
)

// Version is the answer of GET /version.
type Version struct {
	Version     string `json:"version"`
	API         string `json:"api"`
	Fingerprint string `json:"fingerprint" doc:"Of the server's CA certificate"`
}

// Health is the answer of GET /health.
type Health struct {
	Status   string `json:"status" enum:"ok,degraded"`
	Database string `json:"database" enum:"ok,unavailable"`
	Agents   int    `json:"agents" doc:"Agents with a live link"`
}

func (s *Server) mountHealth() {
	httpapi.Register(s.api, httpapi.Op{ID: "get-version", Method: http.MethodGet, Path: "/version", Summary: "Read the server's version", Tag: "server", Privilege: httpapi.Public},
		func(context.Context, *struct{}) (*struct{ Body Version }, error) {
			return &struct{ Body Version }{Version{s.cfg.Version, "v2", s.ca.Fingerprint()}}, nil
		})
	httpapi.Register(s.api, httpapi.Op{ID: "get-health", Method: http.MethodGet, Path: "/health", Summary: "Ask whether the server works", Tag: "server", Privilege: httpapi.Public},
		func(ctx context.Context, _ *struct{}) (*struct {
			Status int
			Body   Health
		}, error) {
			h := Health{Status: "ok", Database: "ok", Agents: len(s.link.Attached())}
			status := http.StatusOK
			if _, err := s.events.Head(ctx); err != nil {
				h.Status, h.Database, status = "degraded", "unavailable", http.StatusServiceUnavailable
			}
			return &struct {
				Status int
				Body   Health
			}{status, h}, nil
		})
}

// The console runs only its own code and talks only to its own server.
const (
	csp = "default-src 'self'; connect-src 'self'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; " +
		"object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
	// docsCSP: Stoplight Elements sets styles from its script.
	docsCSP = "default-src 'self'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self'; " +
		"object-src 'none'; base-uri 'none'; frame-ancestors 'none'"
)

// mountConsole serves the built console; every address that is no file is one of its pages.
func (s *Server) mountConsole(mux *http.ServeMux) {
	dist := web.Dist()
	serve := http.FileServerFS(dist)
	mux.HandleFunc("/api/docs", func(w http.ResponseWriter, r *http.Request) {
		secureHeaders(w.Header(), docsCSP)
		http.ServeFileFS(w, r, dist, "docs/index.html")
	})
	mux.HandleFunc("/ca.crt", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-x509-ca-cert")
		_, _ = w.Write(s.ca.PEM())
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		secureHeaders(h, csp)
		name := strings.TrimPrefix(path.Clean(r.URL.Path), "/")
		if info, err := fs.Stat(dist, name); err != nil || info.IsDir() {
			h.Set("Cache-Control", "no-cache")
			http.ServeFileFS(w, r, dist, "index.html")
			return
		}
		if strings.HasPrefix(name, "assets/") {
			h.Set("Cache-Control", "public, max-age=31536000, immutable") // names carry a hash
		} else {
			h.Set("Cache-Control", "no-cache")
		}
		serve.ServeHTTP(w, r)
	})
}

func secureHeaders(h http.Header, csp string) {
	h.Set("Content-Security-Policy", csp)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	h.Set("Strict-Transport-Security", "max-age=31536000")
}
