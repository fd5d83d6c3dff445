/* SPDX-License-Identifier: Apache-2.0
 *
 * wan: a network between hosts that are network namespaces, with the round trips of oceans and with cuts, outside of the
 * product and without kernel modules (netem is not everywhere): each host has a TUN device, and this program carries IP packets
 * between them.
 *
 *   wan CONTROL NAMESPACE=ADDRESS...
 *
 * It makes the device "wan0" in each namespace (which must exist: ip netns add), gives it the address with /24, and writes
 * "ready\n" to standard output. CONTROL is a file that is read again when it changes, one line a directed pair of hosts,
 * counted from 0:
 *
 *   FROM TO DELAY_MS|cut
 *
 * A pair without a line has no delay. Packets keep their order within a pair. Each time that CONTROL has been read again, a
 * line "lost COUNT" on standard output tells how many packets cuts have taken so far. Needs root and /dev/net/tun. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define HOSTS_MAX     8
#define PACKET_MAX    2048
#define QUEUE_MAX     16384 /* packets under way from one host to another; beyond, they are lost, as in a real router */
#define LOOK_AGAIN_NS 20000000ull

struct packet {
	struct packet *next;
	uint64_t due_ns;
	size_t size;
	uint8_t bytes[];
};
struct way {
	struct packet *first, **last;
	uint32_t count, delay_ms;
	bool cut;
};
static struct way ways[HOSTS_MAX][HOSTS_MAX];
static int devices[HOSTS_MAX];
static struct in_addr addresses[HOSTS_MAX];
static int hosts;
static unsigned long lost; /* to cuts */

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void stop(const char *what)
{
	fprintf(stderr, "wan: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void device_set(int socket_fd, unsigned long request, struct ifreq *r, const char *what)
{
	if (ioctl(socket_fd, request, r) < 0)
		stop(what);
}

/* In the namespace, which this process leaves again with the next one; a TUN device stays in the one that it was made in. */
static void device_make(int host, const char *namespace)
{
	char path[128];
	struct ifreq r = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	snprintf(path, sizeof path, "/run/netns/%s", namespace);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		stop(path);
	close(fd);
	devices[host] = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(r.ifr_name, sizeof r.ifr_name, "wan0");
	if (devices[host] < 0 || ioctl(devices[host], TUNSETIFF, &r) < 0)
		stop("/dev/net/tun");
	int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = addresses[host]};
	memcpy(&r.ifr_addr, &address, sizeof address);
	device_set(socket_fd, SIOCSIFADDR, &r, "address");
	address.sin_addr.s_addr = htonl(0xffffff00u);
	memcpy(&r.ifr_netmask, &address, sizeof address);
	device_set(socket_fd, SIOCSIFNETMASK, &r, "netmask");
	r.ifr_mtu = 1500;
	device_set(socket_fd, SIOCSIFMTU, &r, "mtu");
	r.ifr_flags = IFF_UP | IFF_RUNNING;
	device_set(socket_fd, SIOCSIFFLAGS, &r, "up");
	snprintf(r.ifr_name, sizeof r.ifr_name, "lo");
	device_set(socket_fd, SIOCSIFFLAGS, &r, "lo up");
	close(socket_fd);
}

static void control_read(const char *path)
{
	char line[128], word[16];
	int from, to;
	FILE *file = fopen(path, "re");
	if (!file)
		return; /* being replaced: what holds goes on */
	for (int i = 0; i < hosts; i++)
		for (int j = 0; j < hosts; j++)
			ways[i][j].delay_ms = ways[i][j].cut = 0;
	while (fgets(line, sizeof line, file)) {
		if (sscanf(line, "%d %d %15s", &from, &to, word) != 3 || from < 0 || from >= hosts || to < 0 || to >= hosts)
			continue;
		ways[from][to].cut = strcmp(word, "cut") == 0;
		ways[from][to].delay_ms = (uint32_t)strtoul(word, NULL, 10);
	}
	fclose(file);
}

static void packets_take(int from)
{
	uint8_t bytes[PACKET_MAX];
	ssize_t size;
	while ((size = read(devices[from], bytes, sizeof bytes)) > 0) {
		struct in_addr to;
		if (size < 20 || bytes[0] >> 4 != 4)
			continue;
		memcpy(&to, bytes + 16, sizeof to);
		for (int i = 0; i < hosts; i++) {
			struct way *w = &ways[from][i];
			if (to.s_addr != addresses[i].s_addr)
				continue;
			lost += w->cut;
			if (w->cut || w->count == QUEUE_MAX)
				continue;
			struct packet *p = malloc(sizeof *p + (size_t)size);
			if (!p)
				stop("memory");
			*p = (struct packet){.due_ns = now_ns() + w->delay_ms * 1000000ull, .size = (size_t)size};
			memcpy(p->bytes, bytes, (size_t)size);
			*w->last = p;
			w->last = &p->next;
			w->count++;
		}
	}
}

/* Returns when the next one is due. */
static uint64_t packets_give(uint64_t now)
{
	uint64_t next_ns = now + LOOK_AGAIN_NS;
	for (int i = 0; i < hosts; i++) {
		for (int j = 0; j < hosts; j++) {
			struct way *w = &ways[i][j];
			while (w->first && w->first->due_ns <= now) {
				struct packet *p = w->first;
				/* A cut takes what is under way, too. A full device loses the packet. */
				if (!w->cut && write(devices[j], p->bytes, p->size) < 0 && errno != EAGAIN && errno != EIO)
					stop("write");
				if (!(w->first = p->next))
					w->last = &w->first;
				w->count--;
				free(p);
			}
			if (w->first && w->first->due_ns < next_ns)
				next_ns = w->first->due_ns;
		}
	}
	return next_ns;
}

int main(int argc, char **argv)
{
	struct pollfd polled[HOSTS_MAX];
	struct stat status;
	struct timespec seen = {0};
	if (argc < 4 || argc > 2 + HOSTS_MAX) {
		fprintf(stderr, "usage: wan CONTROL NAMESPACE=ADDRESS...\n");
		return 2;
	}
	hosts = argc - 2;
	for (int i = 0; i < hosts; i++) {
		char *equals = strchr(argv[i + 2], '=');
		if (!equals || inet_pton(AF_INET, equals + 1, &addresses[i]) != 1) {
			fprintf(stderr, "wan: '%s' is not NAMESPACE=ADDRESS\n", argv[i + 2]);
			return 2;
		}
		*equals = 0;
		device_make(i, argv[i + 2]);
		for (int j = 0; j < hosts; j++)
			ways[i][j].last = &ways[i][j].first;
		polled[i] = (struct pollfd){.fd = devices[i], .events = POLLIN};
	}
	prctl(PR_SET_TIMERSLACK, 1UL);
	if (stat(argv[1], &status) == 0)
		seen = status.st_mtim;
	control_read(argv[1]);
	printf("ready\n");
	fflush(stdout);
	for (uint64_t next_ns = 0;;) {
		uint64_t now = now_ns(), wait_ns = next_ns > now ? next_ns - now : 0;
		struct timespec wait = {.tv_nsec = (long)wait_ns};
		if (ppoll(polled, (nfds_t)hosts, &wait, NULL) < 0 && errno != EINTR)
			stop("poll");
		if (stat(argv[1], &status) == 0 && memcmp(&status.st_mtim, &seen, sizeof seen) != 0) {
			seen = status.st_mtim;
			printf("lost %lu\n", lost);
			fflush(stdout);
			control_read(argv[1]);
		}
		for (int i = 0; i < hosts; i++)
			if (polled[i].revents & POLLIN)
				packets_take(i);
		next_ns = packets_give(now_ns());
	}
}
