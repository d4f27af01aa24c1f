// Deploycheck holds the manifests of deploy/ against the real types: Compose files are loaded by
// the library that docker compose itself uses, Kubernetes manifests decoded strictly into the
// own types of the API, so that a key nobody knows is an error. It needs neither a cluster nor an
// engine. It is a module of its own, because hookspool must not depend on any of that.
//
//	go run -C testenv/deploycheck . ../../deploy
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: deploycheck DIR")
		os.Exit(2)
	}
	dir := os.Args[1]
	err := errors.Join(
		checkCompose(context.Background(), filepath.Join(dir, "compose", "compose.yml"), "hookspool"),
		checkCompose(context.Background(), filepath.Join(dir, "compose", "shared", "compose.yml"),
			"relay-1", "relay-2"))
	manifests, globErr := filepath.Glob(filepath.Join(dir, "kubernetes", "*.yml"))
	if globErr == nil && len(manifests) == 0 {
		globErr = errors.New("there are no Kubernetes manifests")
	}
	if err := errors.Join(err, globErr, checkKubernetes(manifests)); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Printf("2 Compose files and %d Kubernetes manifests are valid\n", len(manifests))
}
