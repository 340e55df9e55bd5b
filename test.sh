#!/bin/sh
# Runs ingot's tests, with real packages and real boots. The outside programs that
# judge them come from a tools tree that ingot itself locks and unpacks.
#
#   ./test.sh              everything once, a sample where there is much of it
#   ./test.sh full         all of it: hours
#   ./test.sh ci ./internal/ext4 -run TestRealTree   some of it
set -eu
cd "$(dirname "$0")"
level=${1:-ci}
[ $# -gt 0 ] && shift
judges=$(go run ./cmd/ingot --quiet tools path judges)
export PATH="$judges:$PATH:/usr/sbin:/sbin"
export INGOT_JUDGES="${judges%.bin}"
export INGOT_TEST="$level"
[ $# -gt 0 ] || set -- ./...
# Two packages at a time: a machine that boots takes one processor for minutes, and what
# it is judged by goes by evidence and not by the clock.
INGOT_TEST_TIMES=$(mktemp)
export INGOT_TEST_TIMES
code=0
go test -p 2 -timeout "${INGOT_TEST_TIMEOUT:-85m}" "$@" || code=$?
cat "$INGOT_TEST_TIMES"
rm "$INGOT_TEST_TIMES"
exit $code
