/* SPDX-License-Identifier: Apache-2.0
 *
 * Why no wake-up is lost: prepare and ring are both read-modify-writes of one word, so one comes after the other.
 *   ring second: it reads 1 and writes to the eventfd.
 *   prepare second: it reads what ring wrote, and with that (acquire of a release) everything that the ringer stored before;
 * the sleeper, which looks at its inputs once more after prepare, finds it. awake is a read-modify-write too, so that the chain
 * of releases is not broken between two sleeps.
 *
 * Ringer killed between the exchange and the write: the sleeper sleeps although the word says 0, and later ringers believe that
 * it is awake: hence DOORBELL_BACKSTOP_MS. Sleeper killed: the word stays 1, the next ringer rings once, the count waits in the
 * eventfd for the sleeper's successor, which wakes once for nothing. */
#include "shm/doorbell.h"

#include <assert.h>
#include <errno.h>
#include <unistd.h>

void doorbell_prepare(struct doorbell *own)
{
	(void)atomic_exchange_explicit(own->sleeping, 1, memory_order_seq_cst);
}

void doorbell_awake(struct doorbell *own)
{
	(void)atomic_exchange_explicit(own->sleeping, 0, memory_order_seq_cst);
	if (own->fd < 0)
		return;
	uint64_t count;
	ssize_t got = read(own->fd, &count, sizeof(count)); /* non-blocking: EAGAIN when nobody rang */
	assert(got == (ssize_t)sizeof(count) || errno == EAGAIN || errno == EINTR);
}

void doorbell_ring(struct doorbell *other)
{
	if (atomic_exchange_explicit(other->sleeping, 0, memory_order_seq_cst) == 0 || other->fd < 0)
		return;
	const uint64_t one = 1;
	ssize_t written = write(other->fd, &one, sizeof(one));
	/* EAGAIN: the count is at its top, so the descriptor is readable all the same. */
	assert(written == (ssize_t)sizeof(one) || errno == EAGAIN);
}
