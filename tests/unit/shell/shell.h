/* SPDX-License-Identifier: Apache-2.0
 *
 * The world around an actor's io.c, for tests of the port alone: process, loop, sockets, clock and log are lists here; shared
 * memory, stores and the actor's machine are the real ones. This region is 0 (us), its peers are 1 (eu) and 2 (ap).
 * shell_run starts the actor's main; the script runs where the loop would and calls what the loop would. */
#ifndef GODWIT_TESTS_UNIT_SHELL_H
#define GODWIT_TESTS_UNIT_SHELL_H
#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "runtime/logline.h"
#include "runtime/loop.h"
#include "runtime/process.h"
#include "runtime/rights.h"

#define MS               1000000ull
#define SHELL_SERVER     0u /* the socket that is bound; a peer's is its region's id */
#define SHELL_IPC        3u /* the one that is connected inside of the region */
#define SHELL_SOCKETS    4u
#define SHELL_SENT_MAX   1024u
#define SHELL_EVENTS_MAX 128u

struct shell_sent {
	uint32_t socket;
	char identity; /* its first byte, 0: none */
	uint8_t *bytes;
	size_t size;
	void (*done)(void *bytes, void *hint); /* lent, and not yet given back */
	void *lent, *hint;
};
struct shell {
	struct process *process; /* the actor's own */
	struct loop_actor actor;
	int (*command)(void *self, const char *command, const char *argument, struct text *out, struct error_context *error);
	struct shm shm;
	struct counter_block *counters;
	struct topology topology;
	char region_dir[128];
	struct clock_now now;
	uint64_t clock_step_ns; /* each look at the clock takes so long */
	enum service service;
	const char *rights_user; /* whose rights are `rights`; nobody else has any */
	struct rights rights;
	bool keeps_lent;              /* what is lent is not given back before shell_give_back */
	int send_code[SHELL_SOCKETS]; /* of the next sends */
	int connect_code, serve_code; /* of the start */
	struct shell_sent sent[SHELL_SENT_MAX];
	uint32_t sent_count;
	uint32_t opened, ready, failed, stopped;
	int fail_code, stop_code;
	int64_t message_size_max;
	uint32_t high_water;
	struct {
		enum log_level level;
		char event[32], text[400];
	} events[SHELL_EVENTS_MAX];
	uint32_t event_count;
};
extern struct shell shell;

/* Of the test suite. */
void shell_setup(void);
void shell_teardown(void); /* every message was closed, everything lent came back */

int shell_run(int (*main)(int argc, char **argv), const char *name, void (*script)(void));
/* What a socket will receive: code 0 and bytes, or a code. */
void shell_arrives(uint32_t socket, int code, char identity, const char *user, const void *bytes, size_t size);
uint32_t shell_drain(uint32_t socket, uint32_t limit);
uint32_t shell_waiting(uint32_t socket);
void shell_forget(void);            /* what was sent */
void shell_give_back(void);         /* what was lent */
void shell_turn(uint64_t after_ms); /* tick, persist, publish, send */
uint32_t shell_logged(const char *event);
const char *shell_log_text(const char *event); /* of the last such line */
uint64_t shell_count(enum counter counter);

#endif
