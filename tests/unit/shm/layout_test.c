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

#include "shm/role_lock.h"

static char dir[] = "/tmp/godwit-shm-XXXXXX", lock_path[64];
static struct error_context error;

static void set_up(void)
{
	cr_assert_not_null(mkdtemp(dir));
	snprintf(lock_path, sizeof(lock_path), "%s/supervisor.lock", dir);
}

static void tear_down(void)
{
	unlink(lock_path);
	rmdir(dir);
}

TestSuite(layout, .init = set_up, .fini = tear_down);

static void create(struct shm *shm)
{
	cr_assert_eq(shm_create(shm, 3, &error), 0, "%s", error.text);
}

/* As an actor that inherits it. */
static int attach(struct shm *shm, const struct shm *made)
{
	return shm_attach_fd(shm, fcntl(made->fd, F_DUPFD, 3), &error);
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

Test(layout, what_is_made_can_be_attached)
{
	struct shm made, actor;
	create(&made);
	cr_assert_eq(made.layout->header.region, 3);
	counter_add(&made.layout->counters[ACTOR_ROUTER], COUNTER_reads, 42);
	cr_assert_eq(attach(&actor, &made), 0, "%s", error.text);
	cr_assert_eq(fcntl(actor.fd, F_GETFD), FD_CLOEXEC);
	cr_assert_eq(counter_get(&actor.layout->counters[ACTOR_ROUTER], COUNTER_reads), 42);
	shm_detach(&made);
	counter_add(&actor.layout->counters[ACTOR_ROUTER], COUNTER_reads, 1);
	cr_assert_eq(counter_get(&actor.layout->counters[ACTOR_ROUTER], COUNTER_reads), 43);
	shm_detach(&actor);
	shm_detach(&actor);
}

/* Nothing that another user could put in its place, that a clean-up could remove, or that anybody could cut short under a
 * reader. */
Test(layout, E12_it_has_no_name_and_its_size_is_sealed)
{
	struct shm made;
	struct stat status;
	char link[64], target[64] = "";
	create(&made);
	cr_assert_eq(ftruncate(made.fd, 4096), -1);
	cr_assert_eq(ftruncate(made.fd, sizeof(struct shm_layout) + 4096), -1);
	cr_assert_eq(errno, EPERM);
	cr_assert_eq(fcntl(made.fd, F_ADD_SEALS, F_SEAL_WRITE), -1, "the seals are not sealed");
	cr_assert_eq(fstat(made.fd, &status), 0);
	cr_assert_eq(status.st_mode & 0777u, 0600);
	cr_assert_eq(status.st_nlink, 0);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", made.fd);
	cr_assert_gt(readlink(link, target, sizeof(target) - 1), 0);
	cr_assert_str_eq(target, "/memfd:godwit-shm (deleted)");
	shm_detach(&made);
}

/* A supervisor: takes the region's lock, makes shared memory, says so on the pipe and stays. */
static pid_t supervisor_fork(bool takes_lock, uid_t owner)
{
	int ends[2], lock_fd;
	char byte;
	cr_assert_eq(pipe(ends), 0);
	pid_t child = fork();
	if (child == 0) {
		struct shm made;
		if ((takes_lock && role_lock_take(lock_path, "it", 0, &lock_fd, NULL) != 0) ||
		    shm_create(&made, 3, NULL) != 0 || (owner && fchown(made.fd, owner, owner) != 0))
			_exit(1);
		atomic_store(&made.layout->coordinator.epoch, 7);
		if (write(ends[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	close(ends[1]);
	cr_assert_eq(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	return child;
}

static void supervisor_kill(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

Test(layout, E12_a_reader_finds_what_the_holder_of_the_lock_has_open)
{
	struct shm reader, writer;
	cr_assert_eq(shm_attach(&reader, dir, 0, &error), ERR_UNREACHABLE);
	pid_t child = supervisor_fork(true, 0);
	cr_assert_eq(shm_supervisor(dir), child);
	cr_assert_eq(shm_attach(&reader, dir, 0, &error), 0, "%s", error.text);
	cr_assert_eq(reader.supervisor, child);
	cr_assert_eq(reader.layout->coordinator.epoch, 7);
	cr_assert_eq(shm_attach(&writer, dir, 1, &error), 0, "%s", error.text);
	atomic_store(&writer.layout->coordinator.epoch, 8);
	cr_assert_eq(reader.layout->coordinator.epoch, 8);
	/* A reader cannot write. */
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	cr_assert_eq(read(zero, &writer.layout->coordinator.epoch, 8), 8);
	cr_assert_eq(read(zero, &reader.layout->coordinator.epoch, 8), -1, "the kernel could write there");
	cr_assert_eq(errno, EFAULT);
	close(zero);
	/* What is mapped stays when its supervisor dies, and nobody finds it any more. */
	supervisor_kill(child);
	cr_assert_eq(reader.layout->coordinator.epoch, 0); /* as /dev/zero has left it */
	shm_detach(&reader);
	shm_detach(&writer);
	cr_assert_eq(shm_attach(&reader, dir, 0, &error), ERR_UNREACHABLE);
	cr_assert_eq(shm_supervisor(dir), 0);
}

Test(layout, E12_a_process_that_is_only_named_is_not_looked_into)
{
	struct shm reader;
	char text[24];
	pid_t child = supervisor_fork(false, 0); /* has shared memory open, and no lock */
	int size = snprintf(text, sizeof(text), "%d\n", (int)child), fd = open(lock_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	cr_assert_eq(write(fd, text, (size_t)size), size);
	close(fd);
	cr_assert_eq(shm_attach(&reader, dir, 0, &error), ERR_UNREACHABLE);
	supervisor_kill(child);
}

/* The file of the lock is written when the lock is taken, which a full disk does not keep anybody from. */
Test(layout, E13a_a_lock_is_held_whatever_its_file_says)
{
	static const char *const texts[] = {"", "\n", "0\n", "1\n", "-3\n", "99999999999\n", "no pid"};
	struct shm reader;
	pid_t child = supervisor_fork(true, 0);
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		int fd = open(lock_path, O_WRONLY | O_TRUNC | O_CLOEXEC);
		cr_assert_eq(write(fd, texts[i], strlen(texts[i])), (ssize_t)strlen(texts[i]));
		close(fd);
		cr_assert_eq(shm_supervisor(dir), child, "'%s'", texts[i]);
		cr_assert_eq(shm_attach(&reader, dir, 0, &error), 0, "'%s': %s", texts[i], error.text);
		shm_detach(&reader);
	}
	supervisor_kill(child);
	cr_assert_eq(shm_supervisor(dir), 0);
	cr_assert_eq(truncate(lock_path, 0), 0);
	cr_assert_eq(shm_supervisor(dir), 0);
}

Test(layout, E12_memory_of_another_user_is_not_taken)
{
	struct shm reader;
	if (geteuid() != 0)
		cr_skip_test("only root can give a file to another user");
	pid_t child = supervisor_fork(true, 65534);
	cr_assert_eq(shm_attach(&reader, dir, 0, &error), ERR_UNREACHABLE);
	supervisor_kill(child);
}

/* The right bytes are not enough: what could be cut short under its readers is refused. */
Test(layout, E12_what_is_not_sealed_is_refused)
{
	struct shm made, other;
	char path[64];
	create(&made);
	snprintf(path, sizeof(path), "%s/image", dir);
	int files[] = {
	    memfd_create("godwit-shm", MFD_CLOEXEC | MFD_ALLOW_SEALING), open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)};
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(write(files[i], made.layout, sizeof(struct shm_layout)), (ssize_t)sizeof(struct shm_layout));
		cr_assert_eq(shm_attach_fd(&other, files[i], &error), i == 0 ? ERR_UNREACHABLE : ERR_CONFIGURATION);
		cr_assert_null(other.layout);
		cr_assert_eq(fcntl(files[i], F_GETFD), -1, "taken over, and not closed");
	}
	cr_assert_eq(shm_attach_fd(&other, 999, &error), ERR_CONFIGURATION);
	unlink(path);
	shm_detach(&made);
}

Test(layout, what_does_not_fit_is_refused)
{
	struct shm shm, other;
#define DAMAGE(statement, code)                                                                                                \
	create(&shm);                                                                                                          \
	statement;                                                                                                             \
	cr_assert_eq(attach(&other, &shm), code, "%s", #statement);                                                            \
	cr_assert_null(other.layout);                                                                                          \
	shm_detach(&shm);
	DAMAGE(shm.layout->header.magic++, ERR_WRONG_VERSION)
	DAMAGE(shm.layout->header.abi++, ERR_WRONG_VERSION)
	DAMAGE(shm.layout->header.size--, ERR_WRONG_VERSION)
	DAMAGE(atomic_store(&shm.layout->header.version, SHM_VERSION + 1), ERR_WRONG_VERSION)
	DAMAGE(atomic_store(&shm.layout->header.version, 0), ERR_UNREACHABLE)
}

/* Killed at random points of making it, again and again: whoever looks gets a complete one or none. */
Test(layout, T32_killed_while_making_it)
{
	uint32_t random = (uint32_t)getpid(), complete = 0;
	for (uint32_t round = 0; round < 60 || (!complete && round < 1000); round++) {
		pid_t child = fork();
		if (child == 0) {
			int lock_fd;
			if (role_lock_take(lock_path, "it", 0, &lock_fd, NULL) != 0)
				_exit(1);
			for (;;) {
				struct shm shm;
				if (shm_create(&shm, 3, NULL) != 0)
					_exit(1);
				shm_detach(&shm);
			}
		}
		random = random * 1664525u + 1013904223u;
		usleep(random >> 18); /* up to 16 ms: making it twice takes about as long */
		struct shm reader;
		int code = shm_attach(&reader, dir, 0, &error);
		cr_assert(code == 0 || code == ERR_UNREACHABLE, "%s", error.text);
		if (code == 0)
			cr_assert_eq(reader.layout->inbound.capacity, SHM_INBOUND_RING_SIZE, "attached before it was complete");
		complete += code == 0;
		kill(child, SIGKILL);
		int status;
		waitpid(child, &status, 0);
		cr_assert(WIFSIGNALED(status));
		shm_detach(&reader);
		cr_assert_eq(shm_attach(&reader, dir, 0, &error), ERR_UNREACHABLE);
	}
	cr_assert_gt(complete, 0, "never was there one to look at");
}

Test(layout, actors_and_states_have_names)
{
	for (int i = 0; i < ACTORS; i++)
		cr_assert_eq(actor_parse(actor_name((enum actor)i)), i);
	cr_assert_eq(actor_parse("supervisor"), -1);
	cr_assert_str_eq(region_state_name(REGION_LAGGING), "lagging");
	cr_assert_str_eq(region_state_name(REGION_DRAINED), "drained");
	cr_assert_str_eq(region_state_name(4711), "invalid");
}
