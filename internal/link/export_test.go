package link

import (
	"crypto/tls"
	"time"
)

// TLS lets tests speak to the server by hand.
func (id *Identity) TLS() *tls.Config { return id.tlsConfig(time.Now) }
