#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# Sees the structure test fail: a small tree that is right passes, and each fault put into it is reported.
#   self.sh COMPILER...
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 99
work=$(mktemp -d) || exit 99
trap 'rm -rf "$work"' EXIT
spdx='/* SPDX-License-Identifier: Apache-2.0 */'
failed=0

put() { # path, lines...
	put_path=$work/tree/$1
	shift
	mkdir -p "${put_path%/*}"
	printf '%s\n' "$spdx" "$@" >"$put_path"
}
good_tree() {
	rm -rf "$work/tree"
	put core/a.h '#include <stdint.h>' 'uint32_t a_one(void);'
	put core/a.c '#include "core/a.h"' 'uint32_t a_one(void) { return 1; }'
	put shm/b.h '#include "core/a.h"'
	put store/c.h '#include "shm/b.h"'
	put runtime/socket.h '#include "core/a.h"'
	put actors/router/router.h '#include "core/a.h"' '#include "actors/router/part.h"'
	put actors/router/part.h '#include <stdint.h>'
	put actors/router/router.c '#include "actors/router/router.h"'
	put actors/router/io.c '#include "actors/router/router.h"' '#include "runtime/socket.h"' '#include <time.h>'
	put actors/monitor/monitor.h '#include "core/a.h"'
	put include/public.h '#ifndef PUBLIC_H' '#define PUBLIC_H' '#include <stdint.h>' 'uint32_t public_one(void);' '#endif'
	put examples/e.c '#include <public.h>'
	put tests/unit/t.c '#include "actors/router/router.h"' '#include "store/c.h"'
}
run() { sh "$here/structure.sh" "$work/tree" "$work" "$@" >"$work/output" 2>&1; }
reported() { # what, the text to be found
	if run $compiler; then
		echo "not caught: $1"
		failed=1
	elif ! grep -qF "$2" "$work/output"; then
		echo "caught, but not reported as '$2': $1"
		cat "$work/output"
		failed=1
	fi
}
compiler="$*"

good_tree
run $compiler || { echo "a tree without fault is refused:"; cat "$work/output"; failed=1; }

good_tree; put core/bad.h '#include "shm/b.h"'
reported "core includes shm" "core/bad.h:2: core must not include shm: shm/b.h"
good_tree; put store/bad.c '#include "runtime/socket.h"'
reported "store includes runtime" "store/bad.c:2: store must not include runtime"
good_tree; put runtime/bad.c '#  include <store/c.h>'
reported "in angle brackets" "runtime/bad.c:2: runtime must not include store"
good_tree; put actors/router/bad.c '#include "actors/monitor/monitor.h"'
reported "another role" "actors/router must not include another role"
good_tree; put actors/router/part.h '#include <sys/socket.h>'
reported "socket behind a part of the state machine" "actors/router/part.h:2: the state machine of router must not see sys/socket.h"
good_tree; put actors/router/router.c '#include "runtime/socket.h"'
reported "state machine sees sockets" "actors/router/router.c:2: the state machine of router must not see runtime/socket.h"
good_tree; put actors/router/router.c 'long time(long *); long now(void); long now(void) { return time(0); }'
reported "state machine reads the clock" "actors/router/router.c:1: a state machine must not call time"
good_tree; put actors/supervisor/io.c '#include "runtime/socket.h"'
reported "ZeroMQ in the supervisor" "the supervisor holds no ZeroMQ"
good_tree; put cmd/bad.c '#include "tests/unit/x.h"'
reported "cmd includes tests" "cmd must not include tests"
good_tree; put client/bad.h '#include "a.h"'
reported "not named from the root" "must be named from the root"
good_tree; put novel/bad.c '#include "core/a.h"'
reported "a folder without a rule" "the folder novel has no rule"
good_tree; put shm/bad.h 'struct bad { uint32_t n; };'
reported "a header that needs another first" "shm/bad.h:1: does not compile alone"
good_tree; put shm/bad.h 'struct bad { int n; };'
reported "a header without a guard" "shm/bad.h:1: does not compile alone"
good_tree; put include/bad.h '#include "core/a.h"'
reported "libgodwit: the public header shows an internal one" "include/bad.h:2: include must not include core: core/a.h"
good_tree; put examples/bad.c '#include "client/admin.h"'
reported "libgodwit: an example uses what applications do not have" "examples/bad.c:2: examples must not include client: client/admin.h"
good_tree; put include/bad.h 'enum bad { BAD };' '_Static_assert(BAD == 0, "C11");'
reported "libgodwit: the public header needs C11" "include/bad.h:1: does not compile alone as c -std=c99"
good_tree; put include/bad.h 'int bad(int new);'
reported "libgodwit: the public header is no C++" "include/bad.h:1: does not compile alone as c++ -std=c++11"
good_tree; put core/bad.c '#include <stdlib.h>' 'void *bad_new(void);' 'void *bad_new(void) { return malloc(9); }'
reported "core allocates" "core/bad.c:1: core must not call malloc"
good_tree; put commit/bad.c '#include <time.h>' 'long bad_now(void);' 'long bad_now(void) { return (long)time(0); }'
reported "the strong commit looks at a clock" "commit/bad.c:1: a state machine must not call time"
good_tree; mkdir -p "$work/tree/tools"; printf 'need="build-essential\nlibclang-rt-14-dev meson"\n' >"$work/tree/tools/setup"
reported "H21: a package of one release" "tools/setup: libclang-rt-14-dev is not known to be in every release"
good_tree; mkdir -p "$work/tree/tools"; printf 'need="meson"\n[ "${1:-}" = --with-tests ] && need="$need libnot-dev spin"\n' >"$work/tree/tools/setup"
reported "H21: a package for the tests alone" "tools/setup: libnot-dev is not known to be in every release"
good_tree; put runtime/topology_option.c 'static int one = FIELD(topology, acts) + FIELD(region,' 'idle);'
put store/reader.c 'struct s { int acts; };' 'int reader(struct s *s);' 'int reader(struct s *s) { return s->acts; }'
reported "an option that nobody reads" "the option idle acts nowhere"
grep -q "option acts acts nowhere" "$work/output" && { echo "an option that is read is reported"; failed=1; }
if command -v clang-format >/dev/null && clang-format --version | grep -q 'version 14\.'; then
	good_tree; cp "$here/../../.clang-format" "$work/tree"; put shm/bad.h '#include <stdint.h>' '' 'extern   uint32_t two;'
	reported "not formatted" "shm/bad.h:1: not as clang-format 14 formats it"
	rm "$work/tree/.clang-format"
fi
good_tree; echo 'int x;' >"$work/tree/shm/bad.c"
reported "no licence" "shm/bad.c:1: no SPDX line"
exit $failed
