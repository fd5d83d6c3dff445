#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# libgodwit as somebody gets it who has not this tree: installed into a folder of its own, found by pkg-config alone.
#   install.sh SOURCE_ROOT BUILD_ROOT COMPILER...
# An application sees the same functions, values and structs as before (libgodwit.abi), and no other name of the library. A change
# that is meant is taken with
#   install.sh --accept SOURCE_ROOT BUILD_ROOT COMPILER...
# If something was removed or moved, client/meson.build gets another soversion in the same commit.
set -u
accept=
[ "${1:-}" != --accept ] || { accept=yes; shift; }
source=$1 build=$2
shift 2
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
failed=0
fail() { echo "$*"; failed=1; }

meson install -C "$build" --no-rebuild --destdir "$work/root" >"$work/log" 2>&1 || { tail -20 "$work/log"; echo "meson install fails"; exit 1; }
pc=$(find "$work/root" -name godwit.pc)
[ -n "$pc" ] || { echo "no godwit.pc is installed"; exit 1; }
# Nothing of the machine's own is looked at: what libgodwit needs beyond libc is its own affair.
export PKG_CONFIG_LIBDIR="${pc%/*}" PKG_CONFIG_SYSROOT_DIR="$work/root"
unset PKG_CONFIG_PATH
flags=$(pkg-config --cflags --libs godwit) || exit 1
prefix=$work/root$(pkg-config --variable=prefix godwit | sed "s|^$work/root||")
libdir=$work/root$(pkg-config --variable=libdir godwit | sed "s|^$work/root||")
export LD_LIBRARY_PATH="$libdir"

# Next to each other, since each program looks for the others where it is itself.
for program in godwit godwit-supervisor godwit-coordinator godwit-streamer godwit-monitor godwit-router godwit-reconciler godwit-link godwit-check; do
	[ -x "$prefix/bin/$program" ] || fail "$program is not installed"
done
"$prefix/bin/godwit" help >"$work/help" || fail "the installed godwit does not run"
[ "$(find "$prefix/include" -type f)" = "$prefix/include/godwit.h" ] || fail "more headers than godwit.h: $(find "$prefix/include" -type f)"
readelf -d "$libdir/libgodwit.so" | grep -q 'soname: \[libgodwit.so.0\]' || fail "the soname is not libgodwit.so.0"

cd "$work" || exit 99
cat >hello.c <<'C'
#include <godwit.h>
#include <stdio.h>
#include <string.h>
int main(void)
{
	struct gw_connection *connection;
	struct gw_options options;
	char reason[GW_REASON_SIZE];
	memset(&options, 0, sizeof options);
	options.endpoint = "tcp://127.0.0.1:1";
	options.region = "nowhere";
	options.key_dir = "./no-keys";
	if (gw_connect(&connection, &options, reason) == GW_OK || connection != NULL || reason[0] == 0)
		return 1;
	gw_close(connection);
	puts(gw_error_name(GW_NO_QUORUM));
	return gw_outcome(GW_NO_QUORUM) == GW_OUTCOME_REFUSED && gw_text("four").size == 4 ? 0 : 1;
}
C
for language in 'c -std=c99' 'c++ -std=c++11'; do
	rm -f hello
	"$@" -x $language -Wall -Wextra -pedantic -Werror hello.c -x none $flags -o hello || { fail "hello does not compile as $language"; continue; }
	[ "$(./hello)" = NO_QUORUM ] || fail "hello does not run as $language"
done
for example in "$source"/examples/*.c; do
	"$@" -std=gnu17 -Wall -Wextra -Werror "$example" $flags -pthread -o example || fail "${example##*/} does not compile outside of the tree"
done

nm -D --defined-only "$libdir/libgodwit.so" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort >exported
grep -v '^gw_' exported >foreign && fail "libgodwit.so shows more than gw_: $(tr '\n' ' ' <foreign)"
"$@" -E -P $(pkg-config --cflags godwit) "$prefix/include/godwit.h" | awk -f "$source/tests/structure/abi.awk" >abi.c
"$@" $(pkg-config --cflags godwit) abi.c -o abi || { fail "the interface cannot be measured"; exit 1; }
{
	./abi
	"$@" -E -dM $(pkg-config --cflags godwit) "$prefix/include/godwit.h" | sed -n 's/^#define \(GW_[A-Z_]* .*\)/macro \1/p' | sort
} >now
sed -n 's/^function .*[ *]\(gw_[a-z0-9_]*\)(.*/\1/p' now | sed 's/(.*//' | sort >declared
cmp -s declared exported || fail "declared in godwit.h and exported are not the same: $(diff declared exported | grep '^[<>]' | tr '\n' ' ')"
[ -z "$accept" ] || cp now "$source/tests/structure/libgodwit.abi"
diff -u "$source/tests/structure/libgodwit.abi" now || fail "the binary interface of libgodwit changed: see the head of tests/structure/install.sh"
exit $failed
