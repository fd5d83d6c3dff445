/* SPDX-License-Identifier: Apache-2.0
 *
 * Wakes an actor that sleeps in poll. One eventfd an actor, made by the supervisor and inherited by all; rung only when the
 * sleeper has said so in shared memory, so that a busy neighbour costs no system call.
 *
 * Sleeper: prepare (sleeping = 1, seq_cst), look at its inputs once more, poll, awake. Ringer: store the data, then
 * exchange `sleeping` (seq_cst). One of the two must see the other's store: a wake-up cannot be lost. A ringer killed between
 * the two delays the sleeper at most until its next deadline (at most DOORBELL_BACKSTOP_MS). */
#ifndef GODWIT_SHM_DOORBELL_H
#define GODWIT_SHM_DOORBELL_H
#include <stdatomic.h>
#include <stdint.h>

#define DOORBELL_BACKSTOP_MS 50

struct doorbell {
	_Atomic uint32_t *sleeping;
	int fd; /* -1: started by hand without a supervisor; the sleeper then wakes each millisecond */
};

void doorbell_prepare(struct doorbell *own);
void doorbell_awake(struct doorbell *own); /* also drains the eventfd */
void doorbell_ring(struct doorbell *other);

#endif
