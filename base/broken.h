/* SPDX-License-Identifier: Apache-2.0
 *
 * Faults put in on purpose, to see that the tests can fail. Never in a build that is used: the meson option `broken` (or
 * tests/sim/meson.build, which builds one simulator a fault) defines GODWIT_BROKEN; without it each BROKEN() is 0 at compile
 * time. */
#ifndef GODWIT_BASE_BROKEN_H
#define GODWIT_BASE_BROKEN_H

enum broken {
	BROKEN_NOTHING,
	BROKEN_M1,  /* a write is acknowledged before fdatasync */
	BROKEN_M2,  /* votes that come twice count twice */
	BROKEN_M3,  /* a strong read asks one store */
	BROKEN_M4,  /* what is in doubt is aborted after a while */
	BROKEN_M5,  /* ballots are not checked */
	BROKEN_M6,  /* no tie-break between equal stamps */
	BROKEN_M7,  /* a received record is stamped locally */
	BROKEN_M8,  /* tombstones are dropped */
	BROKEN_M9,  /* the HLC starts from the clock alone */
	BROKEN_M12, /* a record that comes twice is applied twice */
	BROKEN_M13, /* checksums are ignored */
	BROKEN_M14, /* a region that lost its disk may use its id again */
	BROKEN_M16, /* what timed out is called refused */
	BROKEN_M17, /* digests by XOR */
	BROKEN_M18, /* a recovered COMMIT passes over whatever holds its keys */
};
#ifndef GODWIT_BROKEN
#define GODWIT_BROKEN BROKEN_NOTHING
#endif
#define BROKEN(fault) (GODWIT_BROKEN == BROKEN_##fault)

#endif
