/* SPDX-License-Identifier: Apache-2.0
 *
 * The admin socket of every actor: REQ/REP on ipc://DIR/REGION/ACTOR.admin, protobuf (proto/admin.proto).
 * Answers ping, stats (counters and histograms as JSON), config, loglevel, stop by itself; hands drain and all else to the
 * actor. */
#ifndef GODWIT_RUNTIME_ADMIN_H
#define GODWIT_RUNTIME_ADMIN_H
#include "base/error.h"
#include "base/text.h"
#include "runtime/loop.h"
#include "runtime/options.h"
#include "runtime/topology.h"
#include "shm/counters.h"

struct admin;
struct admin_options {
	const char *endpoint;
	const char *actor;
	const struct option *option_table; /* for config */
	const void *option_values;
	const struct option *own_option_table; /* the actor's own flags; NULL: none */
	const void *own_option_values;
	const struct topology *topology; /* NULL: left out */
	struct counter_block *counters;
	/* The actor's own commands ("drain" first of all). 0 with JSON in out, or a code with the reason in error;
	 * ERR_UNSUPPORTED: no such command. */
	int (*command)(void *self, const char *command, const char *argument, struct text *out, struct error_context *error);
	void *self;
};
int admin_start(
    struct admin **admin, void *context, struct loop *loop, const struct admin_options *options, struct error_context *error);
void admin_stop(struct admin *admin);
/* The other side (CLI): one request, one answer. ERR_UNREACHABLE when nobody answers in time. json: to be freed. */
int admin_ask(const char *endpoint, const char *command, const char *argument, uint32_t timeout_ms, char **json,
    struct error_context *error);
void admin_endpoint(const char *region_dir, const char *actor, char out[static 256]);
/* {"counters":{...},"histograms":{name:{count,mean,p50,p99,p999,max}}} */
void stats_json(const struct counter_block *counters, struct text *out);

#endif
