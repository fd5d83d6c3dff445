/* SPDX-License-Identifier: Apache-2.0 */
#include "link/proxy.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "runtime/address.h"
#include "shm/layout.h"

#define EVENTS_A_TURN     128
#define READS_A_TURN      16 /* of one flow, so that a busy one does not starve the rest */
#define DESCRIPTORS_SPARE 64u
#define SERVICES_EMULATED 4u

static const uint32_t services_emulated[SERVICES_EMULATED] = {SERVICE_STREAM, SERVICE_HEALTH, SERVICE_COMMIT, SERVICE_DIGEST};

enum endpoint_kind { ENDPOINT_TIMER, ENDPOINT_LISTENER, ENDPOINT_SIDE };
struct endpoint { /* what epoll gives back; first member of what it belongs to */
	enum endpoint_kind kind;
};

struct listener {
	struct endpoint endpoint;
	int fd;
	uint32_t from, to; /* places in the topology */
	struct sockaddr_storage target;
	socklen_t target_size;
};

/* Edge-triggered: what epoll said stays noted until a call says EAGAIN, so a flow that may not read costs no wake-ups. */
struct side {
	struct endpoint endpoint;
	int fd;
	bool readable, writable, gone, ended;
	struct connection *connection;
};

enum connection_state { CONNECTION_WAITING, CONNECTION_CONNECTING, CONNECTION_OPEN, CONNECTION_DEAD };
enum { CALLER, CALLED };
struct connection {
	struct connection *next;
	enum connection_state state;
	const struct listener *listener;
	struct side sides[2];
	struct link_flow flows[2]; /* [CALLER]: from the caller to the called */
	struct link *links[2];
};

struct proxy {
	const struct topology *topology;
	int epoll_fd, timer_fd;
	struct endpoint timer;
	struct listener *listeners;
	uint32_t listener_count, connection_count, connections_max;
	struct connection *connections;
	uint64_t armed_ns;
	struct link links[REGIONS_MAX][REGIONS_MAX];
	uint8_t buffer[LINK_READ_MAX];
};

static uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static int watch(struct proxy *p, int fd, uint32_t events, struct endpoint *endpoint)
{
	struct epoll_event event = {.events = events, .data.ptr = endpoint};
	return epoll_ctl(p->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void arm(struct proxy *p, uint64_t at_ns)
{
	if (at_ns == p->armed_ns)
		return;
	struct itimerspec t = {0}; /* all zero disarms */
	if (at_ns != LINK_NEVER) {
		t.it_value.tv_sec = (time_t)(at_ns / 1000000000ull);
		t.it_value.tv_nsec = (long)(at_ns % 1000000000ull) + (at_ns == 0);
	}
	int rc = timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &t, NULL);
	assert(rc == 0);
	p->armed_ns = at_ns;
}

static void connection_close(struct connection *c)
{
	/* Never connected: the caller gets a reset. An orderly end would look as if the other side had listened, and hung up.
	 */
	const struct linger reset = {.l_onoff = 1};
	if (c->state != CONNECTION_OPEN && c->sides[CALLER].fd >= 0)
		setsockopt(c->sides[CALLER].fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	for (int i = 0; i < 2; i++) {
		if (c->sides[i].fd >= 0)
			close(c->sides[i].fd);
		c->sides[i].fd = -1;
		while (c->flows[i].first)
			free(link_flow_pop(&c->flows[i]));
	}
	c->state = CONNECTION_DEAD; /* freed at the end of the turn: events of this turn may still point here */
}

static void connection_connect(struct proxy *p, struct connection *c)
{
	const struct listener *l = c->listener;
	struct side *called = &c->sides[CALLED];
	called->fd = socket(l->target.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (called->fd < 0) {
		connection_close(c);
		return;
	}
	int one = 1;
	setsockopt(called->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->state = CONNECTION_CONNECTING;
	if ((connect(called->fd, (const struct sockaddr *)&l->target, l->target_size) < 0 && errno != EINPROGRESS) ||
	    watch(p, called->fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &called->endpoint) < 0)
		connection_close(c);
}

static bool connection_is_cut(const struct connection *c)
{
	return c->links[0]->settings.cut || c->links[1]->settings.cut;
}

static void accept_all(struct proxy *p, struct listener *l)
{
	for (int i = 0; i < EVENTS_A_TURN; i++) {
		int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0)
			return;
		struct connection *c = p->connection_count < p->connections_max ? calloc(1, sizeof(*c)) : NULL;
		if (!c) {
			close(fd);
			continue;
		}
		int one = 1;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		c->listener = l;
		c->links[CALLER] = &p->links[l->from][l->to];
		c->links[CALLED] = &p->links[l->to][l->from];
		for (int s = 0; s < 2; s++)
			c->sides[s] = (struct side){.endpoint = {ENDPOINT_SIDE}, .fd = -1, .connection = c};
		c->sides[CALLER].fd = fd;
		c->next = p->connections;
		p->connections = c;
		p->connection_count++;
		if (watch(p, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, &c->sides[CALLER].endpoint) < 0)
			connection_close(c);
		else if (!connection_is_cut(c))
			connection_connect(p, c);
	}
}

static void side_event(struct side *side, uint32_t events)
{
	struct connection *c = side->connection;
	if (c->state == CONNECTION_DEAD)
		return;
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		side->readable = true;
	if (events & (EPOLLOUT | EPOLLERR))
		side->writable = true;
	if (events & (EPOLLHUP | EPOLLERR))
		side->gone = true;
	if (c->state == CONNECTION_CONNECTING && side == &c->sides[CALLED]) {
		int failure = 0;
		socklen_t size = sizeof(failure);
		getsockopt(side->fd, SOL_SOCKET, SO_ERROR, &failure, &size);
		if (failure || side->gone)
			connection_close(c); /* as a refused connect looks to the caller; it tries again by itself */
		else if (events & EPOLLOUT)
			c->state = CONNECTION_OPEN;
	} else if (c->state != CONNECTION_OPEN && side->gone) {
		connection_close(c);
	}
}

/* Bytes written, 0 when the socket is full, -1 when it is broken. */
static long side_write(struct side *side, const uint8_t *bytes, size_t size)
{
	if (!side->writable)
		return 0;
	ssize_t n = send(side->fd, bytes, size, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR)
		return -1;
	if (n < (ssize_t)size)
		side->writable = false;
	return n < 0 ? 0 : n;
}

/* False when the connection had to be closed. */
static bool flow_deliver(struct connection *c, int direction, uint64_t now)
{
	struct side *out = &c->sides[!direction];
	struct link_flow *flow = &c->flows[direction];
	struct link *link = c->links[direction];
	struct link_chunk *chunk;
	while (out->writable && (chunk = link_flow_due(link, flow, now))) {
		if (chunk->end) {
			shutdown(out->fd, SHUT_WR);
		} else {
			long n = side_write(out, chunk->bytes + chunk->sent, chunk->size - chunk->sent);
			if (n < 0) {
				connection_close(c);
				return false;
			}
			chunk->sent += (uint32_t)n;
			link->bytes += (uint64_t)n;
			if (chunk->sent < chunk->size)
				return true;
		}
		free(link_flow_pop(flow));
	}
	return true;
}

static bool flow_queue(struct connection *c, int direction, const uint8_t *bytes, size_t size, uint64_t now)
{
	struct link_chunk *chunk = malloc(sizeof(*chunk) + size);
	if (!chunk) {
		connection_close(c);
		return false;
	}
	*chunk = (struct link_chunk){.size = (uint32_t)size, .end = size == 0};
	if (size)
		memcpy(chunk->bytes, bytes, size);
	link_flow_push(c->links[direction], &c->flows[direction], chunk, now);
	return true;
}

/* Reads once. False when there is no more to do for this flow now (or the connection is closed). */
static bool flow_take_in(struct proxy *p, struct connection *c, int direction, uint32_t size)
{
	struct side *in = &c->sides[direction], *out = &c->sides[!direction];
	ssize_t n = recv(in->fd, p->buffer, size, 0);
	if (n < 0) {
		in->readable = false;
		if (errno != EAGAIN && errno != EINTR)
			connection_close(c);
		return false;
	}
	size_t sent = 0;
	if (n == 0) {
		in->ended = true;
	} else if (link_is_direct(c->links[direction], &c->flows[direction])) {
		long written = side_write(out, p->buffer, (size_t)n);
		if (written < 0) {
			connection_close(c);
			return false;
		}
		sent = (size_t)written;
		c->links[direction]->bytes += sent;
		if (sent == (size_t)n)
			return true;
	}
	return flow_queue(c, direction, p->buffer + sent, (size_t)n - sent, now_ns());
}

/* Moves one direction on; returns when it wants to be called again at the latest. */
static uint64_t flow_pump(struct proxy *p, struct connection *c, int direction)
{
	struct side *in = &c->sides[direction], *out = &c->sides[!direction];
	struct link *link = c->links[direction];
	struct link_flow *flow = &c->flows[direction];
	for (int reads = 0;; reads++) {
		uint64_t now = now_ns(), again_ns = LINK_NEVER;
		if (!flow_deliver(c, direction, now))
			return LINK_NEVER;
		uint32_t size = in->readable && !in->ended ? link_read_size(link, flow, now, &again_ns) : 0;
		if (size && reads == READS_A_TURN)
			return 0;
		if (!size || !flow_take_in(p, c, direction, size)) {
			if (c->state == CONNECTION_DEAD)
				return LINK_NEVER;
			uint64_t due_ns = out->writable ? link_flow_due_ns(link, flow) : LINK_NEVER;
			return due_ns < again_ns ? due_ns : again_ns;
		}
	}
}

static uint64_t connection_pump(struct proxy *p, struct connection *c)
{
	if (c->state == CONNECTION_WAITING && !connection_is_cut(c))
		connection_connect(p, c);
	if (c->state != CONNECTION_OPEN)
		return LINK_NEVER;
	uint64_t first = flow_pump(p, c, CALLER);
	if (c->state != CONNECTION_OPEN)
		return LINK_NEVER;
	uint64_t second = flow_pump(p, c, CALLED);
	if (c->state == CONNECTION_OPEN && c->sides[0].ended && c->sides[1].ended && !c->flows[0].first && !c->flows[1].first)
		connection_close(c);
	if (c->state != CONNECTION_OPEN)
		return LINK_NEVER;
	return first < second ? first : second;
}

void proxy_turn(struct proxy *p)
{
	struct epoll_event events[EVENTS_A_TURN];
	int count = epoll_wait(p->epoll_fd, events, EVENTS_A_TURN, 0);
	for (int i = 0; i < count; i++) {
		struct endpoint *endpoint = events[i].data.ptr;
		if (endpoint->kind == ENDPOINT_TIMER) {
			uint64_t times;
			if (read(p->timer_fd, &times, sizeof(times)) == sizeof(times))
				p->armed_ns = LINK_NEVER;
		} else if (endpoint->kind == ENDPOINT_LISTENER) {
			accept_all(p, (struct listener *)endpoint);
		} else {
			side_event((struct side *)endpoint, events[i].events);
		}
	}
	uint64_t next_ns = LINK_NEVER;
	for (struct connection *c = p->connections; c; c = c->next) {
		uint64_t at_ns = connection_pump(p, c);
		next_ns = at_ns < next_ns ? at_ns : next_ns;
	}
	for (struct connection **at = &p->connections; *at;) {
		struct connection *c = *at;
		if (c->state != CONNECTION_DEAD) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		p->connection_count--;
		free(c);
	}
	arm(p, next_ns);
}

/* Of a region of this machine the address that it listens on; of another one, the first that its name has. */
static int target_find(const struct region *to, uint16_t port, struct listener *l, struct error_context *error)
{
	struct error_context reason;
	if (address_local(to->bind[0] ? to->bind : to->host, port, &l->target, &l->target_size, NULL) == 0 ||
	    address_find(to->host, port, &l->target, &l->target_size, &reason) == 0)
		return 0;
	return error_set(error, ERR_CONFIGURATION, "region %s: host %s", to->name, reason.text);
}

static int listener_open(struct proxy *p, struct listener *l, uint32_t service, uint16_t link_base, struct error_context *error)
{
	const struct region *from = &p->topology->regions[l->from], *to = &p->topology->regions[l->to];
	int code = target_find(to, (uint16_t)(to->port + service), l, error);
	if (code)
		return code;

	uint16_t port = link_port(p->topology, from->id, to->id, service, link_base);
	struct sockaddr_in address = {
	    .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	l->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (l->fd < 0)
		return error_set(error, ERR_IO, "socket: %s", strerror(errno));
	int one = 1;
	setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(l->fd, (const struct sockaddr *)&address, sizeof(address)) < 0 || listen(l->fd, 64) < 0 ||
	    watch(p, l->fd, EPOLLIN, &l->endpoint) < 0)
		return error_set(error, ERR_CONFIGURATION, "link %s to %s: port %u of 127.0.0.1: %s", from->name, to->name,
		    port, strerror(errno));
	return 0;
}

/* So many that the system's limit on descriptors is never met: a refused accept would otherwise wake us for ever. */
static uint32_t connections_allowed(uint32_t listeners)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 64;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	getrlimit(RLIMIT_NOFILE, &limit);
	uint64_t taken = listeners + DESCRIPTORS_SPARE;
	uint64_t room = limit.rlim_cur > taken ? (limit.rlim_cur - taken) / 2 : 0;
	return room < PROXY_CONNECTIONS_MAX ? (uint32_t)room : PROXY_CONNECTIONS_MAX;
}

int proxy_new(struct proxy **proxy, const struct topology *topology, uint16_t link_base, struct error_context *error)
{
	uint32_t regions = topology->region_count;
	assert(regions <= REGIONS_MAX);
	struct proxy *p = calloc(1, sizeof(*p));
	struct listener *listeners = calloc((size_t)regions * regions * SERVICES_EMULATED + 1, sizeof(*listeners));
	if (!p || !listeners) {
		free(p);
		free(listeners);
		return error_set(error, ERR_NO_MEMORY, "link emulator");
	}
	p->topology = topology;
	p->listeners = listeners;
	p->armed_ns = LINK_NEVER;
	p->timer.kind = ENDPOINT_TIMER;
	p->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	int rc = 0;
	if (p->epoll_fd < 0 || p->timer_fd < 0 || watch(p, p->timer_fd, EPOLLIN, &p->timer) < 0)
		rc = error_set(error, ERR_IO, "epoll: %s", strerror(errno));
	for (uint32_t from = 0; from < regions && rc == 0; from++) {
		for (uint32_t to = 0; to < regions && rc == 0; to++) {
			link_init(&p->links[from][to], 1 + from * REGIONS_MAX + to);
			for (uint32_t s = 0; from != to && s < SERVICES_EMULATED && rc == 0; s++) {
				struct listener *l = &p->listeners[p->listener_count++];
				*l = (struct listener){.endpoint = {ENDPOINT_LISTENER}, .fd = -1, .from = from, .to = to};
				rc = listener_open(p, l, services_emulated[s], link_base, error);
			}
		}
	}
	p->connections_max = connections_allowed(p->listener_count);
	if (rc != 0) {
		proxy_free(p);
		return rc;
	}
	*proxy = p;
	return 0;
}

void proxy_free(struct proxy *p)
{
	while (p->connections) {
		struct connection *c = p->connections;
		p->connections = c->next;
		connection_close(c);
		free(c);
	}
	for (uint32_t i = 0; i < p->listener_count; i++)
		if (p->listeners[i].fd >= 0)
			close(p->listeners[i].fd);
	if (p->timer_fd >= 0)
		close(p->timer_fd);
	if (p->epoll_fd >= 0)
		close(p->epoll_fd);
	free(p->listeners);
	free(p);
}

int proxy_fd(const struct proxy *p)
{
	return p->epoll_fd;
}

struct link *proxy_link(struct proxy *p, uint32_t from, uint32_t to)
{
	assert(from < p->topology->region_count && to < p->topology->region_count && from != to);
	return &p->links[from][to];
}

void proxy_changed(struct proxy *p)
{
	arm(p, 0);
}

void proxy_link_usage(const struct proxy *p, uint32_t from, uint32_t to, uint32_t *connections, uint64_t *queued_bytes)
{
	*connections = 0;
	*queued_bytes = 0;
	for (const struct connection *c = p->connections; c; c = c->next) {
		for (int direction = 0; direction < 2; direction++) {
			if (c->links[direction] != &p->links[from][to])
				continue;
			*connections += 1;
			*queued_bytes += c->flows[direction].queued_bytes;
		}
	}
}
