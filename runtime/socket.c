/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/socket.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define HIGH_WATER_DEFAULT 1000
#define UNTAKEN_MS_MAX     20000
#define IPC_PATH_MAX       107 /* sockaddr_un without its zero */
#define LISTENERS_MAX      16u
/* What CURVE adds to a message: command name, nonce, flags, authenticator (RFC 26), and some room. */
#define CURVE_OVERHEAD 64

/* The open sockets of the process. zmq_ctx_term waits for ever for one that was forgotten; and whoever closes after it did
 * would touch freed memory. */
struct open_socket {
	void *socket, *context;
	bool serves_zap;
	uint32_t listeners; /* on an ipc path; 0: it is not bound to one */
};
static struct {
	pthread_mutex_t lock;
	struct open_socket *sockets;
	uint32_t count, capacity;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int registry_add(const struct open_socket *added)
{
	int code = 0;
	pthread_mutex_lock(&registry.lock);
	if (registry.count == registry.capacity) {
		uint32_t capacity = registry.capacity ? registry.capacity * 2 : 64;
		struct open_socket *grown = realloc(registry.sockets, capacity * sizeof *grown);
		if (grown) {
			registry.sockets = grown;
			registry.capacity = capacity;
		} else {
			code = ERR_NO_MEMORY;
		}
	}
	if (!code)
		registry.sockets[registry.count++] = *added;
	pthread_mutex_unlock(&registry.lock);
	return code;
}

static bool registry_has_zap(const void *context)
{
	bool found = false;
	pthread_mutex_lock(&registry.lock);
	for (uint32_t i = 0; i < registry.count; i++)
		found |= registry.sockets[i].context == context && registry.sockets[i].serves_zap;
	pthread_mutex_unlock(&registry.lock);
	return found;
}

/* How many listeners that socket has on its ipc path, `more` of them new; 0: it has no such path. */
static uint32_t registry_listeners(const void *socket, int more)
{
	uint32_t listeners = 0;
	pthread_mutex_lock(&registry.lock);
	for (uint32_t i = 0; i < registry.count; i++) {
		struct open_socket *o = &registry.sockets[i];
		if (o->socket == socket)
			listeners = o->listeners = (uint32_t)((int)o->listeners + more);
	}
	pthread_mutex_unlock(&registry.lock);
	return listeners;
}

/* Takes one out that matches the socket, or when that is NULL the context. */
static void *registry_take(void *socket, void *context)
{
	void *found = NULL;
	pthread_mutex_lock(&registry.lock);
	for (uint32_t i = 0; i < registry.count && !found; i++) {
		struct open_socket *o = &registry.sockets[i];
		if (socket ? o->socket != socket : o->context != context)
			continue;
		found = o->socket;
		*o = registry.sockets[--registry.count];
	}
	if (registry.count == 0) {
		free(registry.sockets);
		registry.sockets = NULL;
		registry.capacity = 0;
	}
	pthread_mutex_unlock(&registry.lock);
	return found;
}

void *socket_context_new(void)
{
	void *context = zmq_ctx_new();
	if (context)
		zmq_ctx_set(context, ZMQ_IO_THREADS, 1);
	return context;
}

void socket_context_free(void *context)
{
	if (!context)
		return;
	socket_close_all(context);
	while (zmq_ctx_term(context) != 0 && errno == EINTR)
		;
}

void socket_close(void *socket)
{
	if (socket && registry_take(socket, NULL))
		zmq_close(socket);
}

void socket_close_all(void *context)
{
	void *socket;
	while ((socket = registry_take(NULL, context)))
		zmq_close(socket);
}

static int set_int(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int set_tcp(void *socket)
{
	int failed = set_int(socket, ZMQ_HEARTBEAT_IVL, 1000);
	failed |= set_int(socket, ZMQ_HEARTBEAT_TIMEOUT, 3000);
	failed |= set_int(socket, ZMQ_HEARTBEAT_TTL, 3000);
	failed |= set_int(socket, ZMQ_TCP_KEEPALIVE, 1);
	failed |= set_int(socket, ZMQ_TCP_KEEPALIVE_IDLE, 30);
	failed |= set_int(socket, ZMQ_CONNECT_TIMEOUT, 3000);
	/* The kernel closes a connection that takes nothing for so long (TCP_USER_TIMEOUT; a closed window counts): libzmq's
	 * heartbeats wait behind what cannot be sent, and notice nothing. */
	failed |= set_int(socket, ZMQ_TCP_MAXRT, UNTAKEN_MS_MAX);
	/* Also how long it takes until somebody whom ZAP has put off (300) tries again. */
	failed |= set_int(socket, ZMQ_HANDSHAKE_IVL, 3000);
	return failed;
}

static int set_curve(void *socket, bool binds, const struct socket_options *options)
{
	const struct key_pair *own = options->own;
	int failed = zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, own->secret_text, KEY_TEXT_SIZE);
	failed |= zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own->public_text, KEY_TEXT_SIZE);
	if (!binds)
		return failed | zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, options->server_key, KEY_TEXT_SIZE);
	failed |= set_int(socket, ZMQ_CURVE_SERVER, 1);
	return failed | zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, ZAP_DOMAIN, strlen(ZAP_DOMAIN));
}

static int set_all(
    void *socket, int zmq_type, bool binds, bool is_tcp, const char *endpoint, const struct socket_options *options)
{
	int64_t size_max = options->message_size_max ? options->message_size_max : (int64_t)MESSAGE_SIZE_MAX;
	int high_water = options->high_water ? (int)options->high_water : HIGH_WATER_DEFAULT;
	if (options->own)
		size_max += CURVE_OVERHEAD;
	int failed = set_int(socket, ZMQ_LINGER, 0);
	failed |= set_int(socket, ZMQ_SNDHWM, high_water);
	failed |= set_int(socket, ZMQ_RCVHWM, options->receive_high_water ? (int)options->receive_high_water : high_water);
	failed |= zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &size_max, sizeof size_max);
	if (zmq_type == ZMQ_ROUTER) {
		failed |= set_int(socket, ZMQ_ROUTER_MANDATORY, 1);
		/* A peer that comes back before its old connection was found dead takes its identity over. */
		failed |= set_int(socket, ZMQ_ROUTER_HANDOVER, 1);
	}
	if (!binds) {
		/* Not on REQ: with IMMEDIATE libzmq drops what has arrived and is unread when the other side closes, so the
		 * answer of a process that then ends (admin "stop") would be lost. */
		failed |= set_int(socket, ZMQ_IMMEDIATE, zmq_type != ZMQ_REQ);
		failed |= set_int(socket, ZMQ_RECONNECT_IVL, 20);
		failed |=
		    set_int(socket, ZMQ_RECONNECT_IVL_MAX, options->reconnect_max_ms ? (int)options->reconnect_max_ms : 1000);
		if (options->identity_text)
			failed |=
			    zmq_setsockopt(socket, ZMQ_ROUTING_ID, options->identity_text, strlen(options->identity_text));
	}
	if (is_tcp)
		failed |= set_tcp(socket);
	/* A name may have addresses of either kind; of IPv4 alone, libzmq makes mapped ones of them. */
	if (is_tcp && strspn(endpoint + strlen("tcp://"), "0123456789.*") != strcspn(endpoint + strlen("tcp://"), ":"))
		failed |= set_int(socket, ZMQ_IPV6, 1);
	if (options->own)
		failed |= set_curve(socket, binds, options);
	return failed;
}

static int endpoint_check(const void *context, const char *endpoint, bool binds, const struct socket_options *options,
    bool *is_tcp, struct error_context *error)
{
	*is_tcp = strncmp(endpoint, "tcp://", 6) == 0;
	if (*is_tcp && (!options->own || (!binds && !options->server_key)))
		return error_set(error, ERR_USAGE, "%s: a TCP endpoint needs CURVE keys", endpoint);
	/* Without a handler libzmq encrypts, and lets everybody in. */
	if (binds && options->own && !options->admits_anyone && !registry_has_zap(context))
		return error_set(error, ERR_USAGE, "%s: start ZAP before a socket with CURVE is bound", endpoint);
	if (strncmp(endpoint, "ipc://", 6) == 0 && strlen(endpoint + 6) > IPC_PATH_MAX)
		return error_set(error, ERR_CONFIGURATION,
		    "%.180s: the path of a local socket has %zu bytes, more than the %d that the system takes; choose a "
		    "shorter --dir",
		    endpoint + 6, strlen(endpoint + 6), IPC_PATH_MAX);
	assert(!options->identity_text || strlen(options->identity_text) <= IDENTITY_SIZE_MAX);
	return 0;
}

static int socket_make(void **out, void *context, int zmq_type, const char *endpoint, const struct socket_options *given,
    bool binds, struct error_context *error)
{
	static const struct socket_options none = {0};
	const struct socket_options *options = given ? given : &none;
	bool is_tcp;
	*out = NULL;
	int code = endpoint_check(context, endpoint, binds, options, &is_tcp, error);
	if (code)
		return code;
	void *socket = zmq_socket(context, zmq_type);
	if (!socket)
		return error_set(error, ERR_IO, "%s: cannot make a socket: %s", endpoint, zmq_strerror(errno));
	if (set_all(socket, zmq_type, binds, is_tcp, endpoint, options) != 0)
		code = error_set(error, ERR_CONFIGURATION, "%s: cannot set up the socket (a key that is no key?)", endpoint);
	else if (registry_add(&(struct open_socket){.socket = socket,
	             .context = context,
	             .serves_zap = strcmp(endpoint, ZAP_ENDPOINT) == 0,
	             .listeners = binds && strncmp(endpoint, "ipc://", 6) == 0}) != 0)
		code = error_set(error, ERR_NO_MEMORY, "%s: out of memory", endpoint);
	if (code) {
		zmq_close(socket);
		return code;
	}
	*out = socket;
	return 0;
}

static int socket_attach(void *socket, const char *endpoint, bool binds, struct error_context *error)
{
	if ((binds ? zmq_bind : zmq_connect)(socket, endpoint) == 0)
		return 0;
	return error_set(error, ERR_CONFIGURATION, "%s: cannot %s: %s", endpoint, binds ? "listen" : "connect",
	    errno == EADDRINUSE ? "the address is in use by another process" : zmq_strerror(errno));
}

static int socket_open(void **socket, void *context, int zmq_type, const char *endpoint, const struct socket_options *options,
    bool binds, struct error_context *error)
{
	int code = socket_make(socket, context, zmq_type, endpoint, options, binds, error);
	if (code || (code = socket_attach(*socket, endpoint, binds, error)) == 0)
		return code;
	socket_close(*socket);
	*socket = NULL;
	return code;
}

int socket_bind(void **socket, void *context, int zmq_type, const char *endpoint, const struct socket_options *options,
    struct error_context *error)
{
	return socket_open(socket, context, zmq_type, endpoint, options, true, error);
}

int socket_connect(void **socket, void *context, int zmq_type, const char *endpoint, const struct socket_options *options,
    struct error_context *error)
{
	return socket_open(socket, context, zmq_type, endpoint, options, false, error);
}

int socket_prepare(void **socket, void *context, int zmq_type, const char *endpoint, const struct socket_options *options,
    struct error_context *error)
{
	return socket_make(socket, context, zmq_type, endpoint, options, false, error);
}

int socket_dial(void *socket, const char *endpoint, struct error_context *error)
{
	return socket_attach(socket, endpoint, false, error);
}

static bool ipc_path_is_gone(void *socket, char endpoint[static 256])
{
	struct stat status;
	socket_endpoint(socket, endpoint);
	return strncmp(endpoint, "ipc://", 6) == 0 && stat(endpoint + 6, &status) != 0 && errno == ENOENT;
}

void socket_renew_path(void *socket)
{
	char endpoint[256];
	uint32_t listeners = registry_listeners(socket, 0);
	if (!listeners || !ipc_path_is_gone(socket, endpoint))
		return;
	/* Connections end with the listener that took them. So it stays, without a path, until there are too many of its kind:
	 * then all ends, and comes back by itself. libzmq removes no path when a listener ends. */
	if (listeners >= LISTENERS_MAX) {
		while (zmq_unbind(socket, endpoint) == 0)
			;
		registry_listeners(socket, -(int)listeners + 1);
	}
	/* When this fails (the directory is gone as well) it is tried again. */
	if (zmq_bind(socket, endpoint) == 0 && listeners < LISTENERS_MAX)
		registry_listeners(socket, 1);
}

void socket_endpoint(void *socket, char out[static 256])
{
	size_t size = 256;
	out[0] = 0;
	int failed = zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, out, &size);
	assert(!failed);
}

static int receive_part(void *socket, zmq_msg_t *part)
{
	zmq_msg_init(part);
	for (;;) {
		if (zmq_msg_recv(part, socket, ZMQ_DONTWAIT) >= 0)
			return 0;
		if (errno == EINTR)
			continue;
		zmq_msg_close(part);
		/* EFSM: a REP that still owes an answer has nothing to read. */
		return errno == EAGAIN || errno == EFSM ? ERR_EMPTY : errno == ETERM ? ERR_UNREACHABLE : ERR_IO;
	}
}

static int receive_malformed(void *socket, zmq_msg_t *last)
{
	int more = zmq_msg_more(last);
	zmq_msg_close(last);
	while (more && receive_part(socket, last) == 0) {
		more = zmq_msg_more(last);
		zmq_msg_close(last);
	}
	return ERR_MALFORMED;
}

int socket_receive(void *socket, struct message *message, bool forwarded)
{
	int type = 0;
	size_t size = sizeof type;
	message->identity_size = 0;
	if (zmq_getsockopt(socket, ZMQ_TYPE, &type, &size) != 0)
		return ERR_IO;
	int code = receive_part(socket, &message->body);
	if (code)
		return code;
	if (type == ZMQ_ROUTER || forwarded) {
		size_t identity_size = zmq_msg_size(&message->body);
		if (!zmq_msg_more(&message->body) || identity_size == 0 || identity_size > IDENTITY_SIZE_MAX)
			return receive_malformed(socket, &message->body);
		memcpy(message->identity, zmq_msg_data(&message->body), identity_size);
		message->identity_size = (uint32_t)identity_size;
		zmq_msg_close(&message->body);
		code = receive_part(socket, &message->body);
		if (code)
			return code == ERR_EMPTY ? ERR_MALFORMED : code;
	}
	return zmq_msg_more(&message->body) ? receive_malformed(socket, &message->body) : 0;
}

void message_close(struct message *message)
{
	zmq_msg_close(&message->body);
	message->identity_size = 0;
}

const char *message_user(struct message *message)
{
	return zmq_msg_gets(&message->body, "User-Id");
}

static int send_code(void)
{
	switch (errno) {
	case EAGAIN:
		return ERR_OVERLOADED;
	case EHOSTUNREACH:
	case ETERM:
		return ERR_UNREACHABLE;
	default:
		return ERR_IO;
	}
}

static int send_part(void *socket, const void *bytes, size_t size, int flags)
{
	while (zmq_send(socket, bytes, size, flags | ZMQ_DONTWAIT) < 0)
		if (errno != EINTR)
			return send_code();
	return 0;
}

int socket_send(void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size)
{
	int code = identity_size ? send_part(socket, identity, identity_size, ZMQ_SNDMORE) : 0;
	return code ? code : send_part(socket, bytes, size, 0);
}

int socket_send_lent(void *socket, const uint8_t *identity, uint32_t identity_size, void *bytes, size_t size,
    void (*done)(void *bytes, void *hint), void *hint)
{
	zmq_msg_t body;
	if (zmq_msg_init_data(&body, bytes, size, done, hint) < 0) {
		done(bytes, hint);
		return ERR_NO_MEMORY;
	}
	int code = identity_size ? send_part(socket, identity, identity_size, ZMQ_SNDMORE) : 0;
	while (!code && zmq_msg_send(&body, socket, ZMQ_DONTWAIT) < 0)
		if (errno != EINTR)
			code = send_code();
	if (code)
		zmq_msg_close(&body);
	return code;
}

int socket_forward(void *socket, const uint8_t *identity, uint32_t identity_size, struct message *message)
{
	int code = identity_size ? send_part(socket, identity, identity_size, ZMQ_SNDMORE) : 0;
	if (code)
		return code;
	while (zmq_msg_send(&message->body, socket, ZMQ_DONTWAIT) < 0)
		if (errno != EINTR)
			return send_code();
	return 0;
}
