#!/bin/sh
# Deploys the function with Serverless Devs (s.yaml): first as a whole, then every trigger once more by name, since the component
# leaves triggers out in silence (docs/decisions/0002-triggers-one-by-one.md). `make deploy` calls it; it expects target/regild.zip.
#
#   S        the command s of Serverless Devs
#   REGILD   the command regild
#   ALIAS    a credential of `s config`; by default the one in ALIBABA_CLOUD_ACCESS_KEY_ID and its kin
#   START    1: let invocations in again although somebody has stopped the function
#   ENV_FILE what `regild setup` wrote, default regild.env; variables of the environment win over it
set -eu
cd "$(dirname "$0")/.."
file=${ENV_FILE:-regild.env}

if [ -f "$file" ]; then
	while IFS='=' read -r name value || [ -n "$name" ]; do
		case $name in
		'' | '#'*) continue ;;
		*[!A-Z0-9_]*)
			echo "$file: $name is not the name of a variable" >&2
			exit 1
			;;
		esac
		eval "given=\${$name:-}"
		[ -n "$given" ] || export "$name=$value"
	done <"$file"
fi
if [ -z "${REGILD_ACCOUNT:-}" ] || [ -z "${REGILD_REGION:-}" ]; then
	echo "set REGILD_ACCOUNT and REGILD_REGION, or run \`make setup\` first, which writes them to $file (docs/deployment.md)" >&2
	exit 1
fi

# Another journal than before has none of what was begun: what comes again would be done again.
if grep -q '^ *REGILD_JOURNAL:' s.yaml && [ -z "${REGILD_JOURNAL:-}" ]; then
	echo "REGILD_JOURNAL is not set, and the function must not change its journal by accident: run \`make setup\`, which writes $file anew, or set it as it was" >&2
	exit 1
fi

# What is deployed must not be the example, and must be readable.
if grep -q '^ *REGILD_FLEETS:' s.yaml; then
	if [ -f fleets.yaml ]; then
		"$REGILD" check --deploy fleets.yaml
	elif [ -z "${REGILD_FLEETS:-}" ]; then
		echo 'the function would look for fleets.yaml, and there is none to deploy: write one (docs/deployment.md)' >&2
		exit 1
	fi
fi

# What is deployed is s.yaml with these edits of sed.
edits=''

# s.yaml's concurrency would start a function that was stopped. So a stopped one is deployed as stopped.
if [ "${START:-}" != 1 ]; then
	if ! state=$("$REGILD" stop --show --env-file "$file"); then
		echo 'cannot see whether the function is stopped, and a deployment would start it: give the right fc:GetConcurrencyConfig, or say START=1' >&2
		exit 1
	fi
	if [ "$state" = stopped ]; then
		echo 'The function is stopped, and stays so. `make start` lets invocations in again; `make deploy START=1` does both.'
		edits="$edits
s/^\\( *reservedConcurrency:\\).*/\\1 0/"
	fi
fi

# door takes the mark from the lines of a door that is set: its setting, and its trigger unless it is the other door's as well.
door() {
	[ -n "$2" ] || return 0
	edits="$edits
/#: $1:/s/#: //"
	[ "$2" != "$4" ] || return 0
	case $2 in
	topics/*)
		echo "$1 is a topic: whoever deploys needs mns:Subscribe on it (docs/ram.md, Doors)."
		edits="$edits
/#: - triggerName: $3-topic\$/,/notifyStrategy/s/#: //"
		;;
	*)
		edits="$edits
/#: - triggerName: $3\$/,/TimeBasedWindow/s/#: //"
		;;
	esac
}
REGILD_CONTROL_QUEUE=${REGILD_CONTROL_QUEUE:-} REGILD_RELEASE_QUEUE=${REGILD_RELEASE_QUEUE:-}
REGILD_CONTROL_QUEUE=${REGILD_CONTROL_QUEUE#queues/} REGILD_RELEASE_QUEUE=${REGILD_RELEASE_QUEUE#queues/}
door REGILD_CONTROL_QUEUE "$REGILD_CONTROL_QUEUE" control ''
door REGILD_RELEASE_QUEUE "$REGILD_RELEASE_QUEUE" releases "$REGILD_CONTROL_QUEUE"
[ -z "$REGILD_CONTROL_QUEUE" ] || export REGILD_CONTROL_QUEUE
[ -z "$REGILD_RELEASE_QUEUE" ] || export REGILD_RELEASE_QUEUE

# With shares, requests have a function of their own: the same code, settings and journal, with the triggers topic and queue
# (docs/ram.md, Shares). Function Compute bounds the instances of each, so a flood of requests takes none of the other's.
shares=${REGILD_SHARES:-no}
case $shares in
no) ;;
yes)
	if [ -z "$REGILD_CONTROL_QUEUE$REGILD_RELEASE_QUEUE" ]; then
		echo 'REGILD_SHARES=yes needs doors, or everything comes with the requests: set REGILD_CONTROL_QUEUE and REGILD_RELEASE_QUEUE (docs/ram.md)' >&2
		exit 1
	fi
	;;
*)
	echo "REGILD_SHARES is $shares: write yes or no" >&2
	exit 1
	;;
esac

# requests yes keeps of a template those triggers that requests come by, requests no all others. Triggers stand last in it.
requests() {
	awk -v want="$1" '/^ *triggers: *$/ { print; last = 1; next }
		last && $2 == "triggerName:" { keep = ($3 == "topic" || $3 == "queue") == (want == "yes") }
		!last || keep'
}

template=s.yaml
if [ -n "$edits" ]; then
	template=s.deployed.yaml # beside s.yaml, since its paths are relative
	trap 'rm -f s.deployed.yaml s.requests.yaml' EXIT
	sed "$edits" s.yaml >"$template"
fi
if [ "$shares" = yes ]; then # then there are edits: those of the doors
	sed "$edits" s.yaml | sed 's/^\( *functionName:.*\)/\1-requests/' | requests yes >s.requests.yaml
	sed "$edits" s.yaml | requests no >"$template"
fi

if [ -z "${ALIAS:-}" ] && [ -n "${ALIBABA_CLOUD_ACCESS_KEY_ID:-}" ]; then
	ALIAS=default
	# Serverless Devs reads a credential from this variable, so that it need not be stored.
	default_serverless_devs_access=$(printf '{"AccountID":"%s","AccessKeyID":"%s","AccessKeySecret":"%s","SecurityToken":"%s"}' \
		"$REGILD_ACCOUNT" "$ALIBABA_CLOUD_ACCESS_KEY_ID" "${ALIBABA_CLOUD_ACCESS_KEY_SECRET:-}" "${ALIBABA_CLOUD_SECURITY_TOKEN:-}")
	export default_serverless_devs_access
fi
put() {
	"$S" deploy -t "$1" -a "${ALIAS:-default}" --assume-yes
	for trigger in $(sed -n 's/^ *- triggerName: *//p' "$1"); do
		"$S" deploy -t "$1" -a "${ALIAS:-default}" --assume-yes --trigger "$trigger"
	done
}
if [ "$shares" = yes ]; then
	put s.requests.yaml # first: requests are taken by two functions for a while, and never by none
fi
put "$template"
