/* SPDX-License-Identifier: Apache-2.0 */
#include "shm/layout.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/godwit-shm-XXXXXX";
static struct error_context error;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
}

static void tear_down(void)
{
	shm_remove(dir);
	rmdir(dir);
}

TestSuite(layout, .init = set_up, .fini = tear_down);

static int create_fresh(struct shm *shm)
{
	int fresh = -1;
	cr_assert_eq(shm_create(shm, dir, 3, &fresh, &error), 0, "%s", error.text);
	return fresh;
}

/* The data directory was removed and the memory was not: the new store's log must not be dropped for the old one's peers. */
Test(layout, what_was_acknowledged_of_another_store_counts_for_nothing)
{
	static struct shm_link link;
	const struct store_id before = {{1}}, now = {{2}};
	const struct vector said = {{500, 7}};
	struct vector acked;
	shm_link_acked(&link, &now, &acked);
	cr_assert_eq(acked.sequence[0], 0);
	vector_slot_write(&link.acked, &said);
	atomic_store(&link.acked_tag, shm_store_tag(&before));
	shm_link_acked(&link, &before, &acked);
	cr_assert_eq(acked.sequence[0], 500);
	shm_link_acked(&link, &now, &acked);
	cr_assert_eq(acked.sequence[0] + acked.sequence[1], 0);
}

Test(layout, stores_are_kept_by_region)
{
	static struct store_table_slot table;
	static struct store_seen_slot seen;
	struct store_id ids[REGIONS_MAX] = {{{0}}}, read[REGIONS_MAX], met;
	const struct store_id own = {{1, 2}}, other = {{3}};
	for (uint32_t i = 0; i < REGIONS_MAX; i += 3)
		ids[i].bytes[i] = (uint8_t)(i + 1);
	store_table_write(&table, ids);
	store_table_read(&table, read);
	cr_assert_eq(memcmp(ids, read, sizeof ids), 0);
	cr_assert_not(store_seen_read(&seen, &own, &met));
	store_seen_write(&seen, &own, &ids[15]);
	cr_assert(store_seen_read(&seen, &own, &met) && store_id_is_equal(&met, &ids[15]));
	cr_assert_not(store_seen_read(&seen, &other, &met));
}

Test(layout, what_is_made_can_be_attached_and_is_kept)
{
	struct shm made, reader, again;
	cr_assert_eq(shm_attach(&reader, dir, 0, &error), ERR_UNREACHABLE);
	cr_assert_eq(create_fresh(&made), 1);
	cr_assert_eq(made.layout->header.generation, 1);
	counter_add(&made.layout->counters[ACTOR_ROUTER], COUNTER_reads, 42);
	atomic_store(&made.layout->coordinator.epoch, 7);
	atomic_store(&made.layout->actors[ACTOR_MONITOR].state, ACTOR_READY);
	atomic_store(&made.layout->actors[ACTOR_MONITOR].pid, 12345);

	cr_assert_eq(shm_attach(&reader, dir, 0, &error), 0, "%s", error.text);
	cr_assert_eq(counter_get(&reader.layout->counters[ACTOR_ROUTER], COUNTER_reads), 42);
	shm_detach(&made);
	cr_assert_eq(create_fresh(&again), 0);
	cr_assert_eq(again.layout->header.generation, 2);
	cr_assert_eq(counter_get(&again.layout->counters[ACTOR_ROUTER], COUNTER_reads), 42);
	cr_assert_eq(again.layout->coordinator.epoch, 7);
	cr_assert_eq(again.layout->actors[ACTOR_MONITOR].state, ACTOR_DOWN);
	cr_assert_eq(again.layout->actors[ACTOR_MONITOR].pid, 0);
	shm_detach(&reader);
	shm_detach(&again);
	shm_detach(&again);
}

Test(layout, names_differ_by_directory_not_by_spelling)
{
	char one[64], two[64], other[64], spelled[128];
	snprintf(spelled, sizeof(spelled), "/tmp/../tmp/./%s", strrchr(dir, '/') + 1);
	shm_name(dir, one);
	shm_name(spelled, two);
	shm_name("/tmp", other);
	cr_assert_str_eq(one, two);
	cr_assert_str_neq(one, other);
}

Test(layout, a_reader_cannot_write)
{
	struct shm made, reader;
	create_fresh(&made);
	cr_assert_eq(shm_attach(&reader, dir, 0, &error), 0);
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(read(zero, &made.layout->coordinator.epoch, 8), 8);
	cr_assert_eq(read(zero, &reader.layout->coordinator.epoch, 8), -1, "the kernel could write there");
	cr_assert_eq(errno, EFAULT);
	close(zero);
	shm_detach(&reader);
	shm_detach(&made);
}

static void expect_made_anew(const char *why)
{
	struct shm again;
	cr_assert_eq(create_fresh(&again), 1, "%s", why);
	cr_assert_eq(again.layout->coordinator.epoch, 0);
	atomic_store(&again.layout->coordinator.epoch, 7);
	shm_detach(&again);
}

Test(layout, what_does_not_fit_is_refused_by_actors_and_made_anew_by_the_supervisor)
{
	struct shm shm, other;
	expect_made_anew("first");
#define DAMAGE(statement, code)                                                                                                \
	cr_assert_eq(create_fresh(&shm), 0);                                                                                   \
	statement;                                                                                                             \
	cr_assert_eq(shm_attach(&other, dir, 1, &error), code, "%s", #statement);                                              \
	shm_detach(&other);                                                                                                    \
	shm_detach(&shm);                                                                                                      \
	expect_made_anew(#statement);
	DAMAGE(shm.layout->header.magic++, ERR_WRONG_VERSION)
	DAMAGE(shm.layout->header.abi++, ERR_WRONG_VERSION)
	DAMAGE(shm.layout->header.size--, ERR_WRONG_VERSION)
	DAMAGE(atomic_store(&shm.layout->header.version, SHM_VERSION + 1), ERR_WRONG_VERSION)
	DAMAGE(atomic_store(&shm.layout->header.version, 0), ERR_UNREACHABLE)
	DAMAGE(shm.layout->header.region = 4, 0)
	DAMAGE(shm.layout->header.boot_id[3] ^= 1, 0)
	DAMAGE(atomic_store(&shm.layout->inbound.tail, 12), 0)
	DAMAGE(shm.layout->inbound.capacity /= 2, 0)
	DAMAGE(cr_assert_eq(ftruncate(shm.fd, 4096), 0), ERR_WRONG_VERSION)
	DAMAGE(cr_assert_eq(ftruncate(shm.fd, 10), 0), ERR_UNREACHABLE)
	DAMAGE(cr_assert_eq(ftruncate(shm.fd, 0), 0), ERR_UNREACHABLE)
	DAMAGE(cr_assert_eq(ftruncate(shm.fd, sizeof(struct shm_layout) + 4096), 0), ERR_WRONG_VERSION)
}

/* Killed at random points of making it, again and again: the next one always gets a complete one. */
Test(layout, T32_killed_while_making_can_be_repeated)
{
	uint32_t random = (uint32_t)getpid();
	for (uint32_t round = 0; round < 120; round++) {
		pid_t child = fork();
		if (child == 0) {
			for (;;) {
				struct shm shm;
				int fresh;
				if (shm_create(&shm, dir, 3, &fresh, NULL) != 0)
					_exit(1);
				atomic_store(&shm.layout->header.version, 0); /* so that the next turn makes it anew */
				shm_detach(&shm);
			}
		}
		random = random * 1664525u + 1013904223u;
		usleep(random >> 18); /* up to 16 ms: making it twice takes about as long */
		kill(child, SIGKILL);
		int status;
		waitpid(child, &status, 0);
		cr_assert(WIFSIGNALED(status));
		struct shm shm, reader;
		int code = shm_attach(&reader, dir, 0, &error);
		cr_assert(code == 0 || code == ERR_UNREACHABLE, "%s", error.text);
		if (code == 0)
			cr_assert_eq(reader.layout->inbound.capacity, SHM_INBOUND_RING_SIZE, "attached before it was complete");
		shm_detach(&reader);
		create_fresh(&shm);
		cr_assert_eq(shm_attach(&reader, dir, 1, &error), 0, "%s", error.text);
		memset(reader.layout->inbound_bytes, 1, SHM_INBOUND_RING_SIZE); /* all of it is there */
		shm_detach(&reader);
		shm_detach(&shm);
	}
}

Test(layout, actors_and_states_have_names)
{
	for (int i = 0; i < ACTORS; i++)
		cr_assert_eq(actor_parse(actor_name((enum actor)i)), i);
	cr_assert_eq(actor_parse("supervisor"), -1);
	cr_assert_str_eq(region_state_name(REGION_LAGGING), "lagging");
	cr_assert_str_eq(region_state_name(4711), "invalid");
}
