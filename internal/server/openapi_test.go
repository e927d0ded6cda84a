package server_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"testing"
)

//go:generate go test -run ^TestOpenAPI$ -update .

var update = flag.Bool("update", false, "write api/openapi.json anew")

// TestOpenAPI holds the committed contract against what the server offers, so that every change of it is seen in review.
func TestOpenAPI(t *testing.T) {
	r := start(t, t.TempDir())
	res, err := r.http.Get(r.s.URL() + "/api/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, raw, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	const file = "../../api/openapi.json"
	if *update {
		if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("the API differs from api/openapi.json: run make generate, and look at the difference")
	}
}
