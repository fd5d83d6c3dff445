/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/shell/shell.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/logline.h"

struct shell shell;
static void (*script)(void);
static char sockets[SHELL_SOCKETS]; /* their addresses are the handles */
static struct {
	loop_drain *drain;
	void *self;
	struct {
		int code;
		char identity;
		const char *user;
		uint8_t *bytes;
		size_t size;
	} inbox[64];
	uint32_t count, at;
} ends[SHELL_SOCKETS];
static const char *user_now;
static uint32_t messages_open;

static uint32_t place(const void *socket)
{
	const long at = (const char *)socket - sockets;
	cr_assert(at >= 0 && at < (long)SHELL_SOCKETS);
	return (uint32_t)at;
}

/* ---- the process ---- */

int process_start(struct process *p, enum actor which, const struct option *own_table, void *own_values, int argc, char **argv,
    const struct loop_actor *loop_actor,
    int (*commands)(void *, const char *, const char *, struct text *, struct error_context *))
{
	(void)own_table, (void)own_values, (void)argc, (void)argv;
	p->topology = shell.topology;
	p->region = &p->topology.regions[0];
	p->actor = which;
	p->shm = shell.shm;
	p->counters = shell.counters = &shell.shm.layout->counters[which];
	for (int i = 0; i < ACTORS; i++)
		p->bells[i] = (struct doorbell){.sleeping = &p->shm.layout->actors[i].sleeping, .fd = -1};
	snprintf(p->region_dir, sizeof p->region_dir, "%s", shell.region_dir);
	shell.process = p;
	shell.actor = *loop_actor;
	shell.command = commands;
	return 0;
}
int process_run(struct process *p)
{
	cr_assert(p == shell.process && shell.ready == 1);
	if (script)
		script();
	shell_give_back(); /* as closing the sockets does */
	return shell.stopped ? shell.stop_code : 0;
}
void process_ready(struct process *p)
{
	(void)p;
	shell.ready++;
}
int process_fail(struct process *p, int code, const struct error_context *error)
{
	(void)p;
	cr_assert(error->text[0], "whoever started it is told why");
	shell.failed++;
	shell.fail_code = code;
	return error_exit_code(code);
}
int process_listens(const struct process *p, enum service service, char out[static 128], struct error_context *error)
{
	(void)p, (void)error;
	shell.service = service;
	snprintf(out, 128, "tcp://127.0.0.1:%u", 7000u + (unsigned)service);
	return 0;
}
void process_ipc(const struct process *p, const char *name, char out[static 256])
{
	(void)p;
	snprintf(out, 256, "ipc:%s", name);
}
int process_serve_curve(struct process *p, bool clients, struct error_context *error)
{
	cr_assert_eq(clients, p->actor == ACTOR_ROUTER, "clients' keys open one door, regions' keys the others");
	return shell.serve_code ? error_set(error, shell.serve_code, "no keys") : 0;
}
int process_connect(struct process *p, void **socket, const struct region *region, enum service service,
    const struct socket_options *options, _Atomic uint32_t *refusal, struct error_context *error)
{
	(void)refusal;
	cr_assert(region != p->region && region->id < SHELL_IPC && service == shell.service);
	if (shell.connect_code)
		return error_set(error, shell.connect_code, "no connection");
	cr_assert_eq(options->message_size_max, shell.message_size_max, "both ends have one limit");
	*socket = &sockets[region->id];
	shell.opened++;
	return 0;
}
const struct rights *zap_rights(struct zap *zap, const char *name, uint64_t now_ns)
{
	(void)zap, (void)now_ns;
	return name && shell.rights_user && strcmp(name, shell.rights_user) == 0 ? &shell.rights : NULL;
}

/* ---- loop, clock, log ---- */

int loop_add_socket(struct loop *loop, void *socket, loop_drain *drain, void *self)
{
	(void)loop;
	ends[place(socket)].drain = drain;
	ends[place(socket)].self = self;
	return 0;
}
void loop_stop(struct loop *loop, int code)
{
	(void)loop;
	shell.stopped++;
	shell.stop_code = code;
}
struct clock_now clock_read(void)
{
	shell.now.monotonic_ns += shell.clock_step_ns;
	return shell.now;
}
static void event_keep(enum log_level level, const char *event, const char *format, va_list arguments)
{
	const uint32_t at = shell.event_count % SHELL_EVENTS_MAX;
	shell.events[at].level = level;
	snprintf(shell.events[at].event, sizeof shell.events[at].event, "%s", event);
	vsnprintf(shell.events[at].text, sizeof shell.events[at].text, format, arguments);
	shell.event_count++;
	cr_assert_lt(shell.event_count, SHELL_EVENTS_MAX);
}
void logline(enum log_level level, const char *event, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	event_keep(level, event, format, arguments);
	va_end(arguments);
}
void logline_distinct(enum log_level level, const char *event, uint64_t subject, const char *format, ...)
{
	(void)subject;
	va_list arguments;
	va_start(arguments, format);
	event_keep(level, event, format, arguments);
	va_end(arguments);
}
uint64_t logline_subject(const char *text)
{
	return (uint64_t)(uint8_t)text[0];
}
uint32_t shell_logged(const char *event)
{
	uint32_t count = 0;
	for (uint32_t i = 0; i < shell.event_count; i++)
		count += strcmp(shell.events[i].event, event) == 0;
	return count;
}
const char *shell_log_text(const char *event)
{
	for (uint32_t i = shell.event_count; i-- > 0;)
		if (strcmp(shell.events[i].event, event) == 0)
			return shell.events[i].text;
	return "";
}
uint64_t shell_count(enum counter counter)
{
	return counter_get(shell.counters, counter);
}

/* ---- sockets ---- */

int socket_bind(void **socket, void *context, int type, const char *endpoint, const struct socket_options *options,
    struct error_context *error)
{
	(void)context, (void)error;
	char wanted[64];
	snprintf(wanted, sizeof wanted, "tcp://127.0.0.1:%u", 7000u + (unsigned)shell.service);
	cr_assert(type == ZMQ_ROUTER && strcmp(endpoint, wanted) == 0 && options->own == &shell.process->keys);
	shell.message_size_max = options->message_size_max;
	shell.high_water = options->high_water;
	*socket = &sockets[SHELL_SERVER];
	shell.opened++;
	return 0;
}
int socket_connect(void **socket, void *context, int type, const char *endpoint, const struct socket_options *options,
    struct error_context *error)
{
	(void)context, (void)options;
	cr_assert(type == ZMQ_DEALER && strncmp(endpoint, "ipc:", 4) == 0);
	if (shell.connect_code)
		return error_set(error, shell.connect_code, "no connection");
	*socket = &sockets[SHELL_IPC];
	shell.opened++;
	return 0;
}
int socket_receive(void *socket, struct message *message, bool forwarded)
{
	const uint32_t s = place(socket);
	cr_assert_eq(forwarded, s == SHELL_IPC);
	if (ends[s].at == ends[s].count)
		return ERR_EMPTY;
	const uint32_t at = ends[s].at++;
	user_now = ends[s].inbox[at].user;
	const int code = ends[s].inbox[at].code;
	if (!code) {
		message->identity_size = ends[s].inbox[at].identity ? 1 : 0;
		message->identity[0] = (uint8_t)ends[s].inbox[at].identity;
		zmq_msg_init_size(&message->body, ends[s].inbox[at].size);
		memcpy(zmq_msg_data(&message->body), ends[s].inbox[at].bytes, ends[s].inbox[at].size);
		messages_open++;
	}
	free(ends[s].inbox[at].bytes);
	return code;
}
void message_close(struct message *message)
{
	zmq_msg_close(&message->body);
	cr_assert_gt(messages_open, 0);
	messages_open--;
}
const char *message_user(struct message *message)
{
	(void)message;
	return user_now;
}
static int sent_keep(void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size)
{
	const uint32_t s = place(socket);
	if (shell.send_code[s])
		return shell.send_code[s];
	cr_assert_lt(shell.sent_count, SHELL_SENT_MAX);
	struct shell_sent *sent = &shell.sent[shell.sent_count++];
	*sent = (struct shell_sent){.socket = s, .identity = identity_size ? (char)identity[0] : 0, .size = size};
	sent->bytes = malloc(size + 1);
	memcpy(sent->bytes, bytes, size);
	return 0;
}
int socket_send(void *socket, const uint8_t *identity, uint32_t identity_size, const void *bytes, size_t size)
{
	return sent_keep(socket, identity, identity_size, bytes, size);
}
int socket_send_lent(void *socket, const uint8_t *identity, uint32_t identity_size, void *bytes, size_t size,
    void (*done)(void *bytes, void *hint), void *hint)
{
	const int code = sent_keep(socket, identity, identity_size, bytes, size);
	if (code || !shell.keeps_lent) {
		done(bytes, hint);
		return code;
	}
	struct shell_sent *sent = &shell.sent[shell.sent_count - 1];
	sent->done = done;
	sent->lent = bytes;
	sent->hint = hint;
	return 0;
}
void shell_give_back(void)
{
	for (uint32_t i = 0; i < shell.sent_count; i++)
		if (shell.sent[i].done) {
			shell.sent[i].done(shell.sent[i].lent, shell.sent[i].hint);
			shell.sent[i].done = NULL;
		}
}
void shell_forget(void)
{
	for (uint32_t i = 0; i < shell.sent_count; i++) {
		cr_assert_null(shell.sent[i].done, "give it back first");
		free(shell.sent[i].bytes);
	}
	shell.sent_count = 0;
}

/* ---- for tests ---- */

void shell_arrives(uint32_t socket, int code, char identity, const char *user, const void *bytes, size_t size)
{
	const uint32_t at = ends[socket].count++;
	cr_assert_lt(at, sizeof ends[socket].inbox / sizeof ends[socket].inbox[0]);
	ends[socket].inbox[at].code = code;
	ends[socket].inbox[at].identity = identity;
	ends[socket].inbox[at].user = user;
	ends[socket].inbox[at].size = size;
	ends[socket].inbox[at].bytes = malloc(size + 1);
	if (size)
		memcpy(ends[socket].inbox[at].bytes, bytes, size);
}
uint32_t shell_waiting(uint32_t socket)
{
	return ends[socket].count - ends[socket].at;
}
uint32_t shell_drain(uint32_t socket, uint32_t limit)
{
	cr_assert(ends[socket].drain);
	const uint32_t count = ends[socket].drain(ends[socket].self, shell.now, limit);
	if (!shell_waiting(socket))
		ends[socket].count = ends[socket].at = 0;
	return count;
}
void shell_turn(uint64_t after_ms)
{
	shell.now.monotonic_ns += after_ms * MS;
	shell.now.wall_ms += after_ms;
	const struct clock_now now = shell.now;
	if (shell.actor.tick)
		shell.actor.tick(shell.actor.self, now);
	if (shell.actor.persist)
		shell.actor.persist(shell.actor.self, now);
	if (shell.actor.publish)
		shell.actor.publish(shell.actor.self, now);
	if (shell.actor.send)
		shell.actor.send(shell.actor.self, now);
}
int shell_run(int (*main)(int argc, char **argv), const char *name, void (*what)(void))
{
	char *arguments[] = {(char *)(uintptr_t)name, NULL};
	script = what;
	return main(1, arguments);
}
void shell_setup(void)
{
	static const char *const names[] = {"us", "eu", "ap"};
	struct error_context error = {0};
	memset(&shell, 0, sizeof shell);
	cr_assert_eq(shm_create(&shell.shm, 0, &error), 0, "%s", error.text);
	shell.now = (struct clock_now){.monotonic_ns = 1000000 * MS, .wall_ms = 1700000000000};
	struct topology *t = &shell.topology;
	strcpy(t->cluster, "demo");
	t->region_count = 3;
	for (uint8_t i = 0; i < 3; i++) {
		strcpy(t->regions[i].name, names[i]);
		strcpy(t->regions[i].host, "127.0.0.1");
		t->regions[i].port = 7000;
		t->regions[i].id = i;
	}
	t->keyspace_count = 2;
	strcpy(t->keyspaces[0].name, "default");
	strcpy(t->keyspaces[1].name, "ledger");
	t->keyspaces[1].level = LEVEL_STRONG;
}
void shell_teardown(void)
{
	shell_forget();
	cr_assert_eq(messages_open, 0, "a message was not closed");
	shm_detach(&shell.shm);
}
