/* SPDX-License-Identifier: Apache-2.0
 *
 * Real sockets through the proxy. Two regions, STREAM service of the second one; the test plays both ends. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "link/control.h"
#include "shm/layout.h"

struct bench {
	struct topology topology;
	struct proxy *proxy;
	pthread_mutex_t lock;
	pthread_t thread;
	_Atomic bool stop;
	uint16_t link_base;
	int listener;
};

static uint64_t now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void *turn(void *argument)
{
	struct bench *b = argument;
	while (!atomic_load(&b->stop)) {
		struct pollfd item = {.fd = proxy_fd(b->proxy), .events = POLLIN};
		poll(&item, 1, 20);
		pthread_mutex_lock(&b->lock);
		proxy_turn(b->proxy);
		pthread_mutex_unlock(&b->lock);
	}
	return NULL;
}

static int listen_on(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	if (bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 16) == 0)
		return fd;
	close(fd);
	return -1;
}

static void start(struct bench *b)
{
	memset(b, 0, sizeof(*b));
	pthread_mutex_init(&b->lock, NULL);
	struct error_context error = {0};
	unsigned seed = (unsigned)getpid() * 2654435761u;
	b->topology.region_count = 2;
	strcpy(b->topology.cluster, "link-test");
	for (int attempt = 0; attempt < 100 && !b->proxy; attempt++) {
		uint16_t base = (uint16_t)(20000 + rand_r(&seed) % 30000 / 100 * 100);
		for (uint32_t i = 0; i < 2; i++) {
			struct region *r = &b->topology.regions[i];
			snprintf(r->name, sizeof(r->name), "region-%u", i);
			strcpy(r->host, "127.0.0.1");
			r->id = (uint8_t)i;
			r->port = (uint16_t)(base + 10 * i);
		}
		b->link_base = (uint16_t)(base + 30);
		b->listener = listen_on((uint16_t)(base + 10 + SERVICE_STREAM));
		if (b->listener < 0)
			continue;
		if (proxy_new(&b->proxy, &b->topology, b->link_base, &error) != 0) {
			close(b->listener);
			b->proxy = NULL;
		}
	}
	cr_assert(b->proxy, "%s", error.text);
	cr_assert_eq(pthread_create(&b->thread, NULL, turn, b), 0);
}

static void stop(struct bench *b)
{
	atomic_store(&b->stop, true);
	pthread_join(b->thread, NULL);
	proxy_free(b->proxy);
	close(b->listener);
}

static int command(struct bench *b, const char *name, const char *argument)
{
	struct text out = {0};
	struct error_context error = {0};
	pthread_mutex_lock(&b->lock);
	int rc = control_command(b->proxy, &b->topology, name, argument, &out, &error);
	pthread_mutex_unlock(&b->lock);
	text_deinit(&out);
	return rc;
}

static void timeout_set(int fd, long ms)
{
	struct timeval t = {.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
}

static int dial(struct bench *b)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in a = {.sin_family = AF_INET,
	    .sin_port = htons(link_port(&b->topology, 0, 1, SERVICE_STREAM, b->link_base)),
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	timeout_set(fd, 5000);
	return fd;
}

/* The called side of a connection just dialled; -1 when none comes in time. */
static int answer(struct bench *b, int timeout_ms)
{
	struct pollfd item = {.fd = b->listener, .events = POLLIN};
	if (poll(&item, 1, timeout_ms) <= 0)
		return -1;
	int fd = accept4(b->listener, NULL, NULL, SOCK_CLOEXEC);
	timeout_set(fd, 5000);
	return fd;
}

static bool nothing_comes(int fd, int within_ms)
{
	struct pollfd item = {.fd = fd, .events = POLLIN};
	return poll(&item, 1, within_ms) == 0;
}

static void read_whole(int fd, void *bytes, size_t size)
{
	cr_assert_eq(recv(fd, bytes, size, MSG_WAITALL), (ssize_t)size);
}

Test(proxy, delay_is_that_of_each_direction, .timeout = 30)
{
	struct bench b;
	char bytes[4];
	start(&b);
	cr_assert_eq(command(&b, "delay", "region-0 region-1 80"), 0);
	cr_assert_eq(command(&b, "delay", "region-1 region-0 30"), 0);
	int caller = dial(&b), called = answer(&b, 2000);
	cr_assert_geq(called, 0);
	for (int i = 0; i < 3; i++) {
		uint64_t start_ms = now_ms();
		cr_assert_eq(send(caller, "ping", 4, 0), 4);
		read_whole(called, bytes, 4);
		uint64_t there_ms = now_ms();
		cr_assert_eq(send(called, "pong", 4, 0), 4);
		read_whole(caller, bytes, 4);
		uint64_t back_ms = now_ms();
		cr_assert_geq(there_ms - start_ms, 80);
		cr_assert_lt(there_ms - start_ms, 200);
		cr_assert_geq(back_ms - there_ms, 30);
		cr_assert_lt(back_ms - there_ms, 150);
	}
	close(caller);
	cr_assert_eq(recv(called, bytes, 4, 0), 0, "the end travels too");
	close(called);
	stop(&b);
}

struct sender {
	int fd;
	uint32_t words;
};
static void *send_words(void *argument)
{
	struct sender *s = argument;
	static uint32_t words[16384];
	for (uint32_t sent = 0; sent < s->words;) {
		uint32_t count = s->words - sent < 16384 ? s->words - sent : 16384;
		for (uint32_t i = 0; i < count; i++)
			words[i] = sent + i;
		const char *at = (const char *)words;
		for (size_t left = count * sizeof(words[0]); left;) {
			ssize_t n = send(s->fd, at, left, MSG_NOSIGNAL);
			if (n <= 0)
				return NULL;
			at += n;
			left -= (size_t)n;
		}
		sent += count;
	}
	shutdown(s->fd, SHUT_WR);
	return NULL;
}

/* Every byte, in order, through a link whose settings change under way. */
Test(proxy, order_is_kept_and_nothing_is_lost, .timeout = 60)
{
	struct bench b;
	start(&b);
	int caller = dial(&b), called = answer(&b, 2000);
	struct sender sender = {.fd = caller, .words = 4u << 20};
	pthread_t thread;
	pthread_create(&thread, NULL, send_words, &sender);
	static uint32_t words[65536];
	uint32_t expected = 0, turns = 0;
	static const char *const changes[][2] = {{"delay", "* * 5"}, {"jitter", "* * 20"}, {"cut", "region-0 *"},
	    {"delay", "* * 0"}, {"heal", "* *"}, {"jitter", "* * 0"}, {"bandwidth", "* * 65536"}, {"bandwidth", "* * 0"}};
	timeout_set(called, 50);
	for (size_t have = 0;;) {
		ssize_t n = recv(called, (char *)words + have, sizeof(words) - have, 0);
		if (n == 0)
			break;
		if (n > 0)
			have += (size_t)n;
		for (uint32_t i = 0; i < have / sizeof(words[0]); i++)
			cr_assert_eq(words[i], expected++);
		memmove(words, (char *)words + have / 4 * 4, have % 4);
		have %= 4;
		if (++turns % 8 == 0 || n < 0)
			command(&b, changes[turns / 8 % 8][0], changes[turns / 8 % 8][1]);
		if (n < 0)
			turns += 8;
	}
	cr_assert_eq(expected, sender.words);
	pthread_join(thread, NULL);
	close(caller);
	close(called);
	stop(&b);
}

Test(proxy, cut_stops_one_direction_and_heal_goes_on, .timeout = 30)
{
	struct bench b;
	char bytes[8];
	start(&b);
	int caller = dial(&b), called = answer(&b, 2000);
	send(caller, "a", 1, 0);
	read_whole(called, bytes, 1);
	cr_assert_eq(command(&b, "cut", "region-0 region-1"), 0);
	send(caller, "b", 1, 0);
	send(called, "back", 4, 0);
	read_whole(caller, bytes, 4);
	cr_assert(nothing_comes(called, 200));
	/* A new connection hangs: it is neither made nor refused. */
	int second = dial(&b);
	cr_assert_eq(answer(&b, 200), -1);
	cr_assert(nothing_comes(second, 1));
	cr_assert_eq(command(&b, "heal", "* *"), 0);
	read_whole(called, bytes, 1);
	cr_assert_eq(bytes[0], 'b');
	int second_called = answer(&b, 2000);
	cr_assert_geq(second_called, 0);
	send(second, "c", 1, 0);
	read_whole(second_called, bytes, 1);
	cr_assert_eq(bytes[0], 'c');
	close(second_called);
	close(second);
	close(caller);
	close(called);
	stop(&b);
}

Test(proxy, a_cut_link_holds_a_bounded_amount, .timeout = 30)
{
	struct bench b;
	start(&b);
	int caller = dial(&b), called = answer(&b, 2000);
	command(&b, "delay", "* * 60000");
	struct sender sender = {.fd = caller, .words = 16u << 20};
	pthread_t thread;
	pthread_create(&thread, NULL, send_words, &sender);
	uint64_t queued = 0, before = 1;
	uint32_t connections;
	while (queued != before) {
		before = queued;
		usleep(200000);
		pthread_mutex_lock(&b.lock);
		proxy_link_usage(b.proxy, 0, 1, &connections, &queued);
		pthread_mutex_unlock(&b.lock);
	}
	cr_assert_eq(connections, 1);
	cr_assert_gt(queued, LINK_QUEUE_MAX - LINK_READ_MAX);
	cr_assert_leq(queued, LINK_QUEUE_MAX);
	close(called);
	shutdown(caller, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(caller);
	stop(&b);
}

Test(proxy, bandwidth_is_about_what_was_set, .timeout = 30)
{
	struct bench b;
	static char bytes[65536];
	start(&b);
	int caller = dial(&b), called = answer(&b, 2000);
	command(&b, "bandwidth", "region-0 region-1 4096");
	struct sender sender = {.fd = caller, .words = 1u << 20}; /* 4 MiB: a second */
	pthread_t thread;
	pthread_create(&thread, NULL, send_words, &sender);
	uint64_t start_ms = now_ms(), total = 0;
	ssize_t n;
	while ((n = recv(called, bytes, sizeof(bytes), 0)) > 0)
		total += (uint64_t)n;
	uint64_t took_ms = now_ms() - start_ms;
	pthread_join(thread, NULL);
	cr_assert_eq(total, 4u << 20);
	cr_assert_geq(took_ms, 900);
	cr_assert_leq(took_ms, 1600, "%llu", (unsigned long long)took_ms);
	cr_assert_geq(proxy_link(b.proxy, 0, 1)->bytes, total);
	close(caller);
	close(called);
	stop(&b);
}

Test(proxy, a_refused_connect_closes_the_caller, .timeout = 30)
{
	struct bench b;
	char byte;
	start(&b);
	close(b.listener);
	int caller = dial(&b);
	cr_assert_leq(recv(caller, &byte, 1, 0), 0);
	close(caller);
	b.listener = listen_on((uint16_t)(b.topology.regions[1].port + SERVICE_STREAM));
	cr_assert_geq(b.listener, 0);
	caller = dial(&b);
	int called = answer(&b, 2000);
	cr_assert_geq(called, 0);
	close(called);
	close(caller);
	stop(&b);
}

Test(proxy, commands_name_their_mistakes, .timeout = 30)
{
	struct bench b;
	start(&b);
	static const char *const wrong[][2] = {{"delay", "region-0 region-9 5"}, {"delay", "region-0 region-1"},
	    {"delay", "* * x"}, {"delay", "* * -1"}, {"delay", "* * 60001"}, {"cut", "region-0"}, {"cut", "region-0 region-0"},
	    {"cut", ""}, {"heal", "* * *"}, {"bandwidth", "region-0 * 99999999999999999999"}};
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct text out = {0};
		struct error_context error = {0};
		pthread_mutex_lock(&b.lock);
		int rc = control_command(b.proxy, &b.topology, wrong[i][0], wrong[i][1], &out, &error);
		pthread_mutex_unlock(&b.lock);
		cr_assert_eq(rc, ERR_USAGE, "%s %s", wrong[i][0], wrong[i][1]);
		cr_assert(error.text[0]);
		text_deinit(&out);
	}
	cr_assert_eq(command(&b, "explode", "* *"), ERR_UNSUPPORTED);
	cr_assert_eq(command(&b, "cut", "* region-1"), 0);
	cr_assert(proxy_link(b.proxy, 0, 1)->settings.cut);
	cr_assert_not(proxy_link(b.proxy, 1, 0)->settings.cut);
	struct text out = {0};
	cr_assert_eq(control_command(b.proxy, &b.topology, "list", "", &out, NULL), 0);
	cr_assert(
	    strstr(out.bytes, "{\"from\":\"region-0\",\"to\":\"region-1\",\"delay_ms\":0,\"jitter_ms\":0,\"bandwidth_kib\":0,"
	                      "\"cut\":true,\"bytes\":0,"));
	text_deinit(&out);
	stop(&b);
}
