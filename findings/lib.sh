# SPDX-License-Identifier: Apache-2.0
# Sourced by each finding with its temporary folder in $work: pinned packages unpacked into it, PostgreSQL servers inside it, and
# expectations.
# Nothing is installed, and nothing is left behind.
set -u
chmod 755 "$work"
wrong=0 servers= pg_bin=

cleanup() {
	for server in $servers; do as_user "$pg_bin/pg_ctl" -D "$work/$server" -m immediate stop >/dev/null 2>&1; done
	rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 2' INT TERM

give_up() { echo "cannot run: $*" >&2 && exit 2; }

# packages NAME=VERSION...: Debian packages, unpacked below $work/root
packages() {
	(cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$@") || give_up "apt-get download $*"
	for file in "$work"/*.deb; do dpkg -x "$file" "$work/root" || exit 2; done
	printf '%s\n' "$@"
	libraries=$work/root/usr/lib/$(gcc -print-multiarch)
	export LD_LIBRARY_PATH="$libraries"
}

# compile NAME LIBRARY < source: builds $work/NAME against the unpacked packages
compile() {
	gcc -x c -std=gnu11 -Wall -Wextra -Werror -O1 -I "$work/root/usr/include" -I "$work" -o "$work/$1" - \
		-L "$libraries" -Wl,-rpath-link,"$libraries" -l"$2" || give_up "the compiler refuses $1"
}

# PostgreSQL runs as this user, since it refuses to run as root.
as_user() { if [ "$(id -u)" = 0 ]; then (cd / && runuser -u nobody -- "$@"); else "$@"; fi; }

postgres() {
	local version=15.20-0+deb12u1 missing
	packages postgresql-15=$version postgresql-client-15=$version libpq5=$version
	pg_bin=$work/root/usr/lib/postgresql/15/bin
	missing=$(ldd "$pg_bin/postgres" "$pg_bin/psql" | sed -n 's/^\s*\(.*\) => not found/\1/p' | sort -u)
	[ -z "$missing" ] || give_up "libraries that PostgreSQL needs are not installed:" $missing
}

# server NAME [OPTION...]: a pinned PostgreSQL in $work/NAME that listens on a Unix socket there
server() {
	local name=$1 && shift
	[ "$pg_bin" ] || postgres
	mkdir "$work/$name" && { [ "$(id -u)" != 0 ] || chown nobody "$work/$name"; }
	as_user "$pg_bin/initdb" -D "$work/$name" -A trust -U postgres -N >/dev/null || exit 2
	servers="$servers $name"
	server_begin "$name" "$@"
}

server_begin() { # NAME [OPTION...]
	local name=$1 && shift
	as_user "$pg_bin/pg_ctl" -D "$work/$name" -w -l "$work/$name/log" \
		-o "-k $work/$name -c listen_addresses='' -c fsync=off -c shared_buffers=16MB $*" start >/dev/null ||
		give_up "$name does not start"
}

# sql NAME [psql's options]: rows come out as a|b, errors on standard error
sql() { local name=$1 && shift && "$pg_bin/psql" -X -q -A -t -h "$work/$name" -U postgres "$@"; }

# expect WHAT WANTED SEEN: prints what was seen, and remembers if it differs
expect() {
	if [ "$3" = "$2" ]; then echo "  $1: $3"; else echo "  $1: $3   <- CHANGED, was: $2" && wrong=1; fi
}

finish() {
	[ $wrong = 0 ] && echo "still so" && exit 0
	echo "the behaviour has changed" && exit 1
}
