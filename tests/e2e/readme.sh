# SPDX-License-Identifier: Apache-2.0
# The first hour of the README, line by line as it stands there, in an empty folder with a build in it.
set -u
work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-readme.XXXXXX")
here=$(cd "$(dirname "$0")/../.." && pwd)
trap 'cd "$work" && build/cmd/godwit down >/dev/null 2>&1; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; cat "$work/out" "$work/err" >&2; exit 1; }
ln -s "$(dirname "$GODWIT_BIN")" "$work/build" && cd "$work" || exit 1

# What a line has to end with and to print, where that is not 0 and anything.
ends_with() {
	case $1 in
	*"get greeting"*) echo "0 ^hello$" ;;
	*" status") echo "0 ^us-east-1 *up .*" ;;
	*"put seat-12 bob"*) echo "1 CHECK_FAILED" ;;
	*" verify") echo "0 identical" ;;
	*"godwit-bench"*) echo "0 writes" ;;
	*) echo "0 ." ;;
	esac
}

sed -n '/^## A first hour/,/^`godwit help`/s/^    //p' "$here/README.md" | sed 's/ \{4,\}.*//' >lines
[ "$(wc -l <lines)" -ge 12 ] || fail "the README has no first hour any more"
while IFS= read -r line; do
	read -r code pattern <<<"$(ends_with "$line")"
	sh -c "$line" >out 2>err </dev/null
	found=$?
	[ $found = "$code" ] || fail "'$line' ends with $found, not $code"
	[ "$pattern" = . ] || grep -q -- "$pattern" out err || fail "'$line' does not print '$pattern'"
	# The tour says: "lose a region, then `link heal`".
	case $line in *"conflicts list"*) sh -c "build/cmd/godwit link heal '*' ap-south-1" >out 2>err || fail "link heal" ;; esac
done <lines
for command in $(build/cmd/godwit help | sed -n 's/^  \([a-z]*\) .*/\1/p'); do
	build/cmd/godwit help "$command" >out 2>err || fail "godwit help $command"
done
exit 0
