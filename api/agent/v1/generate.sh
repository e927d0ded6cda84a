#!/bin/sh
# Makes agent.gen.go and agent.connect.gen.go from agent.proto. Needs protoc (Debian package protobuf-compiler); the two
# plugins are built from the versions that go.mod pins.
set -eu
cd "$(dirname "$0")"
bin=$(mktemp -d)
trap 'rm -rf "$bin"' EXIT
GOBIN="$bin" go install google.golang.org/protobuf/cmd/protoc-gen-go connectrpc.com/connect/cmd/protoc-gen-connect-go
PATH="$bin:$PATH" protoc --go_out="$bin" --go_opt=paths=source_relative \
	--connect-go_out="$bin" --connect-go_opt=paths=source_relative,package_suffix,simple=false agent.proto
mv "$bin/agent.pb.go" agent.gen.go
mv "$bin/agent.connect.go" agent.connect.gen.go
