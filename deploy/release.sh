#!/usr/bin/env bash
# Builds a release of the commit that is checked out: linux on amd64 and arm64, plain and with otel
# (traces), each as a tar.gz with an SBOM beside it, and SHA256SUMS over all of them.
#
#   deploy/release.sh [DIR]        # dist/ by default; needs Go and git
#
# The same commit and the same Go give the same bytes, wherever and whenever it is built: anybody can
# check a release by building it. The version is the commit's tag, or else its distance from the last
# one. VERSION= overrides it, for a tree that git does not know. SBOM=no leaves the SBOMs out.
set -euo pipefail
cd "$(dirname "$0")/.."
out=${1:-dist}
sbom=github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

fail() {
  printf 'error: %s\nhint: %s\n' "$1" "$2" >&2
  exit 1
}

[ -z "$(git status --porcelain)" ] ||
  fail "the tree has changes that no commit has" "commit or stash them: a release is of a commit"
version=${VERSION:-$(git describe --tags --always --match 'v[0-9]*' --abbrev=12)}
version=${version#v}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH

# Whatever the builder has set for himself must not get into the bytes.
unset GOFLAGS GOEXPERIMENT GODEBUG
export CGO_ENABLED=0 GOOS=linux GOAMD64=v1 GOARM64=v8.0 GOWORK=off GOTOOLCHAIN=local
export LC_ALL=C TZ=UTC
umask 022

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"
out=$(cd "$out" && pwd)

if [ "${SBOM:-yes}" != no ]; then
  GOOS='' GOARCH='' GOBIN=$work go install "$sbom" ||
    fail "the tool that writes SBOMs cannot be had" "needs the module proxy; SBOM=no goes without"
fi

# licenses collects what the linked modules want to go with every copy of them.
licenses() { # TAGS
  go list -deps -tags "$1" -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' \
    ./cmd/hookspool | sort -u | while read -r path at dir; do
    find "$dir" -maxdepth 1 -type f \( -iname 'licen[sc]e*' -o -iname 'notice*' -o -iname 'copying*' \) |
      sort | while read -r file; do
      printf '==== %s %s: %s\n\n' "$path" "$at" "$(basename "$file")"
      cat "$file"
      printf '\n'
    done
  done
}

# release builds, packs and describes one binary.
release() { # ARCH TAGS
  local name=hookspool${2:+-$2}_${version}_linux_$1
  local dir=$work/$name
  mkdir -p "$dir"
  GOARCH=$1 go build -trimpath -buildvcs=true -tags "$2" \
    -ldflags "-s -w -buildid= -X main.version=$version" -o "$dir/hookspool" ./cmd/hookspool
  cp LICENSE README.md CHANGELOG.md config.example.toml "$dir/"
  cp -R deploy "$dir/deploy"
  rm "$dir/deploy/release.sh"
  GOARCH=$1 licenses "$2" >"$dir/THIRD_PARTY_LICENSES"
  find "$dir" -type d -exec chmod 0755 {} +
  find "$dir" -type f -exec chmod 0644 {} +
  chmod 0755 "$dir/hookspool"
  tar --sort=name --format=ustar --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" \
    -C "$work" -cf - "$name" | gzip -n -9 >"$out/$name.tar.gz"
  if [ "${SBOM:-yes}" != no ]; then
    "$work/cyclonedx-gomod" bin -json -std -noserial -notimestamp -version "v$version" \
      -output "$out/$name.cdx.json" "$dir/hookspool" 2>"$work/log" || { cat "$work/log"; exit 1; }
  fi
  printf '%s  %s\n' "$(du -h "$out/$name.tar.gz" | cut -f1)" "$name.tar.gz"
}

rm -f "$out"/hookspool*_linux_*.tar.gz "$out"/hookspool*_linux_*.cdx.json "$out/SHA256SUMS"
for arch in amd64 arm64; do
  release "$arch" ""
  release "$arch" otel
done
(cd "$out" && sha256sum hookspool*_linux_* >SHA256SUMS)
