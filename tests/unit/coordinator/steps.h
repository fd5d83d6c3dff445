/* SPDX-License-Identifier: Apache-2.0
 *
 * The coordinator's step against a log that is an array: every record accepted gets the next LSN. */
#ifndef GODWIT_TESTS_UNIT_COORDINATOR_STEPS_H
#define GODWIT_TESTS_UNIT_COORDINATOR_STEPS_H
#include "actors/coordinator/coordinator.h"

#define OWN   1
#define NOW   1700000000000ull
#define DRIFT 500

extern struct coordinator c;
extern struct coordinator_effects out;
extern uint64_t lsn, bounds_appended;
extern int log_code;              /* what the log says to the next record */
extern struct record last_record; /* that it took */

/* Keyspaces: 0 eventual, 1 strong, 2 acknowledged by a quorum. */
void steps_setup(void);
void steps_teardown(void);
/* What the port does with an event: append what the step wants and report it. */
void run(struct coordinator_event *event);
struct coordinator_event put(uint64_t client, uint64_t number, const char *key);
void write_one(uint64_t client, uint64_t number);
/* Everything up to `up_to` became durable and was applied. */
void apply(uint64_t up_to, struct vector vector);
void inbound(uint8_t region, uint64_t sequence, uint64_t hlc);
struct vector version_of(const struct coordinator_answer *answer);

#endif
