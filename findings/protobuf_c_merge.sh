#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A proto3 submessage that comes in two pieces loses its first piece in protobuf-c, without an error; with a oneof it is
# refused.
#
# Guess: the rule of the encoding that two pieces of one submessage are merged (so that encodings can be appended to each
#     other) holds in protobuf-c, which has code and tests for it.
# Seen: that code asks whether a field is set, and a proto3 scalar cannot tell: the zero of the second piece replaces the
#     value of the first. If neither piece sets a oneof of the submessage, unpack returns NULL. With proto2 the merge is
#     right.
# So: no sender appends pieces of a submessage where protobuf-c reads them.
#
# Prints:
#   libprotobuf-c1=1.4.1-1+b1
#   libprotobuf-c-dev=1.4.1-1+b1
#   protobuf-c-compiler=1.4.1-1+b1
#   protobuf-compiler=3.21.12-3+deb12u1
#   libprotoc32=3.21.12-3+deb12u1
#   libprotobuf32=3.21.12-3+deb12u1
#     OuterThree, Google's decoder: point { x: 1 y: 2 }
#     OuterTagged, Google's decoder: point { x: 1 y: 2 }
#     proto2, protobuf-c: x 1 y 2
#     proto3, protobuf-c: x 0 y 2
#     proto3 with a oneof that neither piece sets, protobuf-c: refused
#   still so
work=$(mktemp -d) || exit 2
. "$(dirname "$0")/lib.sh"
packages libprotobuf-c1=1.4.1-1+b1 libprotobuf-c-dev=1.4.1-1+b1 protobuf-c-compiler=1.4.1-1+b1 \
	protobuf-compiler=3.21.12-3+deb12u1 libprotoc32=3.21.12-3+deb12u1 libprotobuf32=3.21.12-3+deb12u1
bin=$work/root/usr/bin
cd "$work" || exit 2
cat >two.proto <<'P'
syntax = "proto2";
message Two { optional int32 x = 1; optional int32 y = 2; }
message OuterTwo { optional Two point = 1; }
P
cat >three.proto <<'P'
syntax = "proto3";
message Three { int32 x = 1; int32 y = 2; }
message Tagged { int32 x = 1; int32 y = 2; oneof tag { string name = 3; int32 number = 4; } }
message OuterThree { Three point = 1; }
message OuterTagged { Tagged point = 1; }
P
for file in two three; do "$bin/protoc" --plugin="$bin/protoc-gen-c" --c_out=. $file.proto || give_up "protoc"; done
sed 's/.*/#include "&.pb-c.c"/' >all.c <<<$'two\nthree'
compile unpack protobuf-c <<'C' || exit 2
#include "all.c"
#include <stdio.h>

#define SHOW(TYPE, prefix)                                                           \
	do {                                                                         \
		TYPE *outer = prefix##__unpack(NULL, sizeof pieces, pieces);         \
		if (outer)                                                           \
			printf(#TYPE ": x %d y %d\n", outer->point->x, outer->point->y); \
		else                                                                 \
			printf(#TYPE ": refused\n");                                 \
	} while (0)

int main(void)
{
	static const uint8_t pieces[] = {0x0a, 2, 0x08, 1, 0x0a, 2, 0x10, 2}; /* point { x: 1 } point { y: 2 } */
	SHOW(OuterTwo, outer_two);
	SHOW(OuterThree, outer_three);
	SHOW(OuterTagged, outer_tagged);
}
C
./unpack >seen || give_up "the test ended with $?"
seen() { sed -n "s/^$1: //p" seen; }
google() { printf '\x0a\x02\x08\x01\x0a\x02\x10\x02' | "$bin/protoc" --decode="$1" "$2.proto" | tr -s ' \n' ' '; }
for type in OuterThree OuterTagged; do expect "$type, Google's decoder" "point { x: 1 y: 2 } " "$(google $type three)"; done
expect "proto2, protobuf-c" "x 1 y 2" "$(seen OuterTwo)"
expect "proto3, protobuf-c" "x 0 y 2" "$(seen OuterThree)"
expect "proto3 with a oneof that neither piece sets, protobuf-c" "refused" "$(seen OuterTagged)"
finish
