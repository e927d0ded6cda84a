// Package client is the Go client of REST v2, the only way in for the CLI and every SDK.
//
// Owns: how a request is made (TLS by a pinned CA, token, retries, Idempotency-Key, If-Match), [Problem] as the typed
// error, paging, and live events. Its types mirror the API and are its own, so that other modules can import it.
// Does not own: any rule of the product; the server decides.
//
//	c, err := client.New(client.Options{Server: "https://127.0.0.1:8443", Fingerprint: "SHA256:…", Token: "…"})
//	share, err := c.Shares().Create(ctx, client.ShareSpec{Name: "projects"})
//
// Start reading at [New], then [Collection].
package client
