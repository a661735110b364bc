#!/usr/bin/env bash
# tools/vuln.sh [binary...]: looks for known vulnerabilities in what the code here calls, and in what each binary holds.
# It asks https://vuln.go.dev, or the copy that VULNDB names (file:///dir or another address; https://go.dev/security/vuln/database).
# Exit: 0 nothing was found; 1 something was; 2 nothing could be looked up, which is not the same as nothing found.
set -euo pipefail
cd "$(dirname "$0")/.."
go=${GO:-go} db=${VULNDB:-https://vuln.go.dev}

check() {
	echo "== govulncheck $*"
	local code=0
	"$go" tool -modfile=tools/go.mod govulncheck -db="$db" "$@" || code=$?
	case $code in
	0) ;;
	3) found=1 ;; # what govulncheck exits with when it found something
	*)
		echo "the database $db could not be asked (exit $code): nothing is known, neither good nor bad" >&2
		echo 'run this where it is reachable, or set VULNDB to a copy' >&2
		exit 2
		;;
	esac
}

found=0
check ./...
for binary; do
	check -mode=binary "$binary"
done
exit "$found"
