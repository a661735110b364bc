#!/usr/bin/env bash
# tools/corpus.sh [most]: keeps what fuzzing found interesting. Copies from Go's cache, or from FUZZCACHE, at most so many inputs (40)
# of each target, of at most 4 KB each, into testdata/fuzz of its package, where `go test` runs them as seeds. Their names are hashes,
# so the first of them are a fair sample (not by head: it ends sort, and with it all that is left). What makes a target fail the fuzzer puts there by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
most=${1:-40} cache=${FUZZCACHE:-$(go env GOCACHE)/fuzz/$(go list -m)}
find "$cache" -mindepth 2 -type d -name 'Fuzz*' | sort | while read -r found; do
	target=$(basename "$found") package=$(dirname "${found#"$cache"/}")
	grep -qs "^func $target(" "$package"/*_test.go || continue # the target is gone
	mkdir -p "$package/testdata/fuzz/$target"
	find "$found" -type f -size -9 | sort | sed -n "1,${most}p" | xargs -r cp -t "$package/testdata/fuzz/$target"
done
