// Package web holds the built React console.
//
// Owns: the embedded files. Does not own serving, headers or routing: that is the server's business.
//
// Start reading at [Dist]; the console's own source starts at src/main.tsx.
package web

import (
	"embed"
	"io/fs"
)

//go:embed all:dist
var dist embed.FS

// Dist returns the files of the built console, index.html at the root. Before the console is built it holds nothing but
// a placeholder, so that Go compiles without Node; a caller that finds no index.html says so instead of serving it.
func Dist() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("web: " + err.Error()) // cannot happen: the directory is embedded above
	}
	return sub
}
