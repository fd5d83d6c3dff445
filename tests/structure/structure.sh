#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What the compiler does not check about the shape of the tree: who includes whom, that each header compiles alone, that core
# and the state machines call nothing impure, that each file names its licence.
#   structure.sh SOURCE_ROOT BUILD_ROOT COMPILER...
set -u
source=$1 build=$2
shift 2
[ $# -gt 0 ] || set -- cc
here=$(cd "$(dirname "$0")" && pwd) || exit 99
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
cd "$source" || exit 99
flags="-std=gnu17 -D_GNU_SOURCE -I. -I$build -Wall -Wextra -Werror"
failed=0

# The folders of the tree; a build directory inside it is not one of them.
find . -mindepth 2 \( -name '.*' -o -exec test -d '{}/meson-private' \; \) -prune -o \
	-type f \( -name '*.c' -o -name '*.h' -o -name '*.proto' -o -name '*.sh' -o -name '*.awk' -o -name '*.py' \) -print |
	sed 's|^\./||' | grep -v '^\.' | while read -r file; do
	[ -d "${file%%/*}/meson-private" ] || echo "$file"
done | sort >"$work/files"
grep '\.[ch]$' "$work/files" >"$work/sources"
[ -s "$work/sources" ] || { echo "no sources in $source"; exit 1; }

xargs awk -f "$here/includes.awk" <"$work/sources" || failed=1

while read -r file; do
	head -n 3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || { echo "$file:1: no SPDX line"; failed=1; }
done <"$work/files"

for header in $(grep '\.h$' "$work/sources"); do
	printf '#include "%s"\n#include "%s"\n' "$header" "$header" >"$work/alone.c"
	"$@" $flags -fsyntax-only "$work/alone.c" 2>"$work/errors" ||
		{ echo "$header:1: does not compile alone"; head -n 5 "$work/errors"; failed=1; }
done

# What applications include: nothing of this tree or of GNU in it, a warning in it is one in their build. C++ comes with
# Debian's build-essential.
for header in $(grep '^include/.*\.h$' "$work/sources"); do
	for language in 'c -std=c99' 'c++ -std=c++11'; do
		printf '#include <%s>\nint main(void) { return 0; }\n' "${header#include/}" >"$work/alone.c"
		"$@" -x $language -Wall -Wextra -pedantic -Werror -I include -fsyntax-only "$work/alone.c" 2>"$work/errors" ||
			{ echo "$header:1: does not compile alone as $language"; head -n 5 "$work/errors"; failed=1; }
	done
done

# Undefined symbols of one source: what it calls outside itself. Arguments: source, compiler...
calls() {
	calls_file=$1
	shift
	"$@" $flags -O1 -w -c "$calls_file" -o "$work/calls.o" && nm -u "$work/calls.o" | awk '{ print $NF }'
}
for file in $(grep '^core/.*\.c$' "$work/sources"); do
	calls "$file" "$@" >"$work/calls" || { echo "$file:1: does not compile"; failed=1; continue; }
	for call in $(grep -vE '^(_GLOBAL_OFFSET_TABLE_|_?_?mem(cpy|move|set|cmp)(_chk)?|str(cpy|cmp|len|chr|ncmp)|v?snprintf|__assert_fail|__stack_chk_fail)$' \
		"$work/calls"); do
		# Another function of core: its module is the first word of its name.
		grep -qsE "(^|[^a-z_])$call\(" core/*.h base/*.h || { echo "$file:1: core must not call $call"; failed=1; }
	done
done
for file in $(grep '^actors/' "$work/sources" | awk -F/ '$3 == $2 ".c"') $(grep '^commit/.*\.c$' "$work/sources"); do
	calls "$file" "$@" >"$work/calls" || { echo "$file:1: does not compile"; failed=1; continue; }
	for call in $(grep -E '^(zmq_.*|mdb_.*|socket_.*|logline.*|socket|connect|send(to|msg)?|recv(from|msg)?|open(at)?|fopen|read|write|p(read|write)|f?printf|puts|clock_.*|time|gettimeofday|nanosleep|u?sleep|getrandom|s?random|s?rand|randombytes_.*|getenv)$' \
		"$work/calls"); do
		echo "$file:1: a state machine must not call $call"
		failed=1
	done
done

# An option that nobody but the topology's own files reads acts nowhere. Rows without a field have one word only.
if [ -f runtime/topology_option.c ]; then
	tr -d '\n' <runtime/topology_option.c | grep -oE 'FIELD\([a-z_]+, *[a-z_]+\)' | sed 's/.*, *//; s/)//' | sort -u | while read -r field; do
		[ "$field" = member ] || grep -v '^runtime/topology\|^tests/' "$work/sources" | xargs grep -qE "(->|\.)$field\b" ||
			echo "runtime/topology_option.c: the option $field acts nowhere"
	done >"$work/idle"
	[ ! -s "$work/idle" ] || { cat "$work/idle"; failed=1; }
fi

# One formatter, of one version: others lay out the same style otherwise.
if [ -f .clang-format ] && command -v clang-format >/dev/null && clang-format --version | grep -q 'version 14\.'; then
	for file in $(cat "$work/sources"); do
		clang-format "$file" | cmp -s - "$file" || { echo "$file:1: not as clang-format 14 formats it"; failed=1; }
	done
fi

# H21: no network is needed to know that a package has another name in another release.
if [ -f tools/setup ]; then
	tr '\n' ' ' <tools/setup | grep -oE 'need="[^"]*"' | sed 's/^need="//; s/"$//' | tr ' ' '\n' | grep -v '^\$need$' | grep . | sort -u |
		while read -r package; do
			grep -qx -- "$package" "${packages:-$here/packages}" || echo "tools/setup: $package is not known to be in every release (tests/structure/packages)"
		done >"$work/packages"
	[ ! -s "$work/packages" ] || { cat "$work/packages"; failed=1; }
fi
exit $failed
