/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/doorbell.h"

#include <criterion/criterion.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static _Atomic uint32_t sleeping;

static int readable(int fd)
{
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
	return poll(&poll_fd, 1, 0);
}

Test(doorbell, rings_only_one_who_sleeps_and_only_once)
{
	struct doorbell bell = {.sleeping = &sleeping, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	doorbell_ring(&bell);
	cr_assert_eq(readable(bell.fd), 0, "a busy neighbour costs no system call");
	doorbell_prepare(&bell);
	doorbell_ring(&bell);
	doorbell_ring(&bell);
	cr_assert_eq(readable(bell.fd), 1);
	uint64_t count = 0;
	cr_assert_eq(read(bell.fd, &count, sizeof(count)), 8);
	cr_assert_eq(count, 1);
	doorbell_awake(&bell);
	cr_assert_eq(atomic_load(&sleeping), 0);
}

Test(doorbell, awake_drains)
{
	struct doorbell bell = {.sleeping = &sleeping, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	doorbell_prepare(&bell);
	doorbell_ring(&bell);
	doorbell_awake(&bell);
	cr_assert_eq(readable(bell.fd), 0);
	doorbell_awake(&bell);
}

Test(doorbell, without_a_descriptor_nothing_is_rung)
{
	struct doorbell bell = {.sleeping = &sleeping, .fd = -1};
	doorbell_prepare(&bell);
	doorbell_ring(&bell);
	doorbell_awake(&bell);
	cr_assert_eq(atomic_load(&sleeping), 0);
}

Test(doorbell, a_full_count_is_no_error)
{
	struct doorbell bell = {.sleeping = &sleeping, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
	const uint64_t top = UINT64_MAX - 1;
	cr_assert_eq(write(bell.fd, &top, sizeof(top)), 8);
	doorbell_prepare(&bell);
	doorbell_ring(&bell);
	cr_assert_eq(readable(bell.fd), 1);
}
