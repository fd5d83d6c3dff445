/* SPDX-License-Identifier: Apache-2.0
 *
 * E11: strangers who open connections and never speak. Each test lowers the limit of its own process (Criterion forks one a
 * test); the stranger is another process, with the limit that there was. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/descriptors.h"
#include "runtime/keys.h"
#include "runtime/socket.h"
#include "tests/unit/runtime/fixture.h"

#define LIMIT    300
#define SILENT   400
#define KEPT_MIN 40 /* the process's own, opened while strangers hold the rest */

static struct {
	char directory[128], key_dir[140], endpoint[256], local[200];
	struct pump pump;
	void *context, *server, *admin;
	struct zap *zap;
	struct key_pair keys;
	bool heard;
} place;
static struct error_context error;

static uint32_t server_drain(void *self, struct clock_now now, uint32_t limit)
{
	struct message message;
	uint32_t handled = 0;
	(void)self;
	(void)now;
	for (; handled < limit && socket_receive(place.server, &message, false) == 0; handled++) {
		place.heard = true;
		message_close(&message);
	}
	return handled;
}

static void limit_set(rlim_t soft, rlim_t hard)
{
	struct rlimit limit = {soft, hard};
	cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0, "%s", strerror(errno));
}

/* The other side of the test: waits for a line with the port, opens SILENT connections to it, and holds them until it is
 * killed. */
static pid_t stranger_start(int *to)
{
	int ends[2];
	cr_assert_eq(pipe(ends), 0);
	pid_t pid = fork();
	if (pid == 0) {
		uint16_t port;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(ends[1]);
		if (read(ends[0], &port, sizeof port) == sizeof port)
			for (int i = 0; i < SILENT; i++) {
				struct sockaddr_in address = {
				    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
				int fd = socket(AF_INET, SOCK_STREAM, 0);
				if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
					_exit(1);
			}
		pause();
		_exit(0);
	}
	close(ends[0]);
	*to = ends[1];
	return pid;
}

static struct sockaddr_un local_address(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t size = strlen(place.local + 6);
	cr_assert_lt(size, sizeof address.sun_path);
	memcpy(address.sun_path, place.local + 6, size);
	return address;
}

static void set_up(void)
{
	static const char *const allow[] = {"here", NULL};
	scratch_make(place.directory);
	snprintf(place.key_dir, sizeof place.key_dir, "%.120s/keys", place.directory);
	cr_assert_eq(keys_make(place.key_dir, "here", &error), 0, "%s", error.text);
	cr_assert_eq(keys_load(place.key_dir, "here", &place.keys, &error), 0);
	pump_start(&place.pump);
	place.context = socket_context_new();
	cr_assert_eq(
	    zap_start(&place.zap, place.context, place.pump.loop, place.key_dir, allow, false, place.pump.counters, &error), 0,
	    "%s", error.text);
	struct socket_options options = {.own = &place.keys};
	cr_assert_eq(
	    socket_bind(&place.server, place.context, ZMQ_ROUTER, "tcp://127.0.0.1:*", &options, &error), 0, "%s", error.text);
	socket_endpoint(place.server, place.endpoint);
	snprintf(place.local, sizeof place.local, "ipc://%s/x.admin", place.directory);
	cr_assert_eq(socket_bind(&place.admin, place.context, ZMQ_REP, place.local, NULL, &error), 0, "%s", error.text);
	cr_assert_eq(loop_add_socket(place.pump.loop, place.server, server_drain, NULL), 0);
}

static void tear_down(void)
{
	socket_close_all(place.context);
	zap_stop(place.zap);
	pump_stop(&place.pump);
	socket_context_free(place.context);
	scratch_remove(place.directory);
}
TestSuite(descriptors, .init = set_up, .fini = tear_down);

/* More come at a time than libzmq's backlog holds, so that some try again after a second: not all are refused. */
static bool some_refused(void *self)
{
	(void)self;
	return counter_get(place.pump.counters, COUNTER_connections_refused) > 0;
}

static bool was_heard(void *self)
{
	(void)self;
	return place.heard;
}

Test(descriptors, E11_the_soft_limit_is_raised_to_the_hard_one)
{
	struct rlimit limit;
	limit_set(100, LIMIT);
	descriptors_start();
	getrlimit(RLIMIT_NOFILE, &limit);
	cr_assert_eq(limit.rlim_cur, LIMIT);
	cr_assert_eq(descriptors_connections_end(), LIMIT - DESCRIPTORS_KEPT_ASIDE);
	limit_set(100, 100);
	descriptors_start();
	cr_assert_eq(descriptors_connections_end(), 50, "with few there are, half are kept");
}

Test(descriptors, E11_silent_connections_leave_descriptors_for_the_store)
{
	int to, held[KEPT_MIN];
	pid_t stranger = stranger_start(&to);
	limit_set(LIMIT, LIMIT);
	descriptors_start();
	uint16_t port = (uint16_t)atoi(strrchr(place.endpoint, ':') + 1);
	cr_assert_eq(write(to, &port, sizeof port), (ssize_t)sizeof port);
	cr_assert(pump_run(&place.pump, some_refused, NULL, 10000), "%llu refused", (unsigned long long)descriptors_refused());
	for (int i = 0; i < KEPT_MIN; i++)
		cr_assert_geq(held[i] = open("/dev/null", O_RDONLY), 0, "number %d: %s", i, strerror(errno));
	/* An operator on this machine is let in meanwhile. */
	struct sockaddr_un address = local_address();
	int local = socket(AF_UNIX, SOCK_STREAM, 0);
	struct timeval patience = {.tv_sec = 5};
	char greeting[10];
	setsockopt(local, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	cr_assert_eq(connect(local, (struct sockaddr *)&address, sizeof address), 0, "%s", strerror(errno));
	cr_assert_eq(recv(local, greeting, sizeof greeting, MSG_WAITALL), 10, "no greeting from the local socket");
	close(local);
	for (int i = 0; i < KEPT_MIN; i++)
		close(held[i]);
	/* The handshake's deadline takes from the strangers what they hold: whoever speaks gets in. */
	void *client = NULL, *outside = socket_context_new();
	struct socket_options options = {.own = &place.keys, .server_key = place.keys.public_text};
	cr_assert_eq(socket_connect(&client, outside, ZMQ_DEALER, place.endpoint, &options, &error), 0, "%s", error.text);
	for (int i = 0; i < 100 && !place.heard; i++) {
		(void)socket_send(client, NULL, 0, "hello", 5);
		(void)pump_run(&place.pump, was_heard, NULL, 100);
	}
	cr_assert(place.heard, "strangers keep everybody out");
	socket_context_free(outside);
	kill(stranger, SIGKILL);
	waitpid(stranger, NULL, 0);
}

Test(descriptors, E11_with_none_left_at_all_nothing_ends)
{
	int held[LIMIT], count = 0, local[3];
	limit_set(LIMIT, LIMIT);
	descriptors_start();
	struct sockaddr_un address = local_address();
	for (int i = 0; i < 3; i++)
		local[i] = socket(AF_UNIX, SOCK_STREAM, 0);
	while (count < LIMIT && (held[count] = open("/dev/null", O_RDONLY)) >= 0)
		count++;
	cr_assert_eq(errno, EMFILE);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(connect(local[i], (struct sockaddr *)&address, sizeof address), 0, "%s", strerror(errno));
	for (int i = 0; i < 2000 && descriptors_refused() == 0; i++)
		usleep(10000);
	cr_assert_gt(descriptors_refused(), 0, "libzmq does not accept through this program's accept");
	/* The lowest first: libzmq tries to accept all the while, and a number above the local sockets' limit is refused. */
	for (int i = 0; i < count; i++)
		close(held[i]);
	char greeting[10];
	struct timeval patience = {.tv_sec = 20};
	setsockopt(local[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	cr_assert_eq(recv(local[0], greeting, sizeof greeting, MSG_WAITALL), 10, "not accepted once there is room");
}
