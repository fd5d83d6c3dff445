/* SPDX-License-Identifier: Apache-2.0
 *
 * Without <sys/socket.h>: its declaration of accept takes a union of addresses that nobody else can define. */
#include "runtime/descriptors.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/logline.h"

#define SOCKET_LEVEL  1  /* SOL_SOCKET */
#define SOCKET_DOMAIN 39 /* SO_DOMAIN */
#define DOMAIN_UNIX   1  /* AF_UNIX */

struct sockaddr;
int accept4(int fd, struct sockaddr *address, unsigned *size, int flags);
int accept(int fd, struct sockaddr *address, unsigned *size);
int getsockopt(int fd, int level, int name, void *value, unsigned *size);

static _Atomic uint32_t connections_end = UINT32_MAX, local_end = UINT32_MAX;
static _Atomic uint64_t refused;
static uint64_t told;

void descriptors_start(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	/* What could not be raised is kept: the limit is then what it was. */
	(void)setrlimit(RLIMIT_NOFILE, &limit);
	(void)getrlimit(RLIMIT_NOFILE, &limit);
	uint64_t most = limit.rlim_cur < INT32_MAX ? limit.rlim_cur : INT32_MAX;
	uint64_t aside = most / 2 < DESCRIPTORS_KEPT_ASIDE ? most / 2 : DESCRIPTORS_KEPT_ASIDE;
	uint64_t end = most - aside < DESCRIPTORS_CONNECTIONS_MAX ? most - aside : DESCRIPTORS_CONNECTIONS_MAX;
	atomic_store(&connections_end, (uint32_t)end);
	atomic_store(&local_end, (uint32_t)(end + aside / 2));
}

uint32_t descriptors_connections_end(void)
{
	return atomic_load(&connections_end);
}

uint64_t descriptors_refused(void)
{
	return atomic_load(&refused);
}

void descriptors_tell(struct counter_block *counters)
{
	uint64_t now = atomic_load(&refused), more = now - told;
	if (!more)
		return;
	told = now;
	if (counters)
		counter_add(counters, COUNTER_connections_refused, more);
	logline_distinct(LOG_LEVEL_ERROR, "connections_refused", 0,
	    "count=%llu reason=\"connections hold all %u descriptors that they may have; the rest is kept for the store\"",
	    (unsigned long long)more, descriptors_connections_end());
}

static int is_local(int fd)
{
	int domain = 0;
	unsigned size = sizeof domain;
	return getsockopt(fd, SOCKET_LEVEL, SOCKET_DOMAIN, &domain, &size) == 0 && domain == DOMAIN_UNIX;
}

int accept4(int fd, struct sockaddr *address, unsigned *size, int flags)
{
	long accepted = syscall(SYS_accept4, fd, address, size, flags);
	if (accepted < 0) {
		/* The system as a whole is out of them, or something else in this process took all: libzmq's local sockets end
		 * the process at an errno that they do not expect, this one all of them do. */
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			atomic_fetch_add(&refused, 1);
			errno = ECONNABORTED;
		}
		return -1;
	}
	if ((uint64_t)accepted < atomic_load(&connections_end) ||
	    ((uint64_t)accepted < atomic_load(&local_end) && is_local((int)accepted)))
		return (int)accepted;
	close((int)accepted);
	atomic_fetch_add(&refused, 1);
	errno = ECONNABORTED;
	return -1;
}

int accept(int fd, struct sockaddr *address, unsigned *size)
{
	return accept4(fd, address, size, 0);
}
