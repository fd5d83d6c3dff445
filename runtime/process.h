/* SPDX-License-Identifier: Apache-2.0
 *
 * What every actor's main does before and after its loop: flags, topology, shared memory, keys, log lines, loop, admin socket,
 * readiness. An actor's own main is then short:
 *
 *   struct process p; process_start(&p, ACTOR_X, extra_table, &extra, argc, argv) ... process_actor(&p, &actor) ...
 *   process_ready(&p); return process_run(&p);
 *
 * Readiness is told, not guessed: "ready\n" on the file descriptor given by --ready-fd. */
#ifndef GODWIT_RUNTIME_PROCESS_H
#define GODWIT_RUNTIME_PROCESS_H
#include "runtime/admin.h"
#include "runtime/keys.h"
#include "runtime/loop.h"
#include "runtime/options.h"
#include "runtime/socket.h"
#include "runtime/topology.h"
#include "runtime/watch.h"
#include "shm/layout.h"

struct process_flags {         /* the flags every actor takes */
	const char *dir;       /* --dir: the cluster's data directory on this machine; DIR/REGION and DIR/keys below it */
	const char *region;    /* --region */
	const char *topology;  /* --topology; none: the built-in default */
	const char *log_level; /* --log-level */
	const char *keys;      /* --keys; none: DIR/keys */
	const char *bells;     /* --bells: five eventfds in the order of enum actor, comma-separated, inherited */
	uint32_t shm_fd;       /* --shm-fd: the region's shared memory, inherited; 0: looked for in the supervisor that runs */
	uint32_t ready_fd;     /* --ready-fd; 0: none */
	uint32_t link_base;    /* --link-base: peers are reached through the link emulator on these ports; 0: directly */
};

struct process {
	struct process_flags flags;
	struct topology topology;
	const struct region *region; /* in topology */
	enum actor actor;
	char region_dir[256];
	char key_dir[256];
	struct shm shm;
	struct counter_block *counters; /* this actor's */
	struct doorbell bells[ACTORS];  /* bells[actor] is its own */
	struct key_pair keys;
	void *context; /* ZeroMQ */
	struct loop *loop;
	struct admin *admin;
	struct zap *zap;                    /* NULL until process_serve_curve */
	struct watch *watches[REGIONS_MAX]; /* of process_connect */
	uint32_t watch_count;
	int lock_fd; /* of ACTOR.lock: one process an actor; -1: not taken */
};

/* Parses flags (the common ones and own_table into own_values), loads and attaches everything; prints one clear line and
 * returns an exit code (> 0) on failure, with nothing left open; 0 otherwise. --help prints and returns a negative number: the
 * caller exits with 0. actor's callbacks get actor->self. command: see admin.h. */
int process_start(struct process *p, enum actor actor, const struct option *own_table, void *own_values, int argc, char **argv,
    const struct loop_actor *loop_actor,
    int (*command)(void *self, const char *command, const char *argument, struct text *out, struct error_context *error));
/* Before binding any TCP socket: ZAP for the keys of all regions of the topology or, with clients, for those of clients alone.
 */
int process_serve_curve(struct process *p, bool clients, struct error_context *error);
/* Connects a DEALER to a service of another region, with the key that is known for it, and watches the exchange of keys
 * (runtime/watch.h). `options` may leave out own and server_key. refusal: see struct watch_options. At most one a region. */
int process_connect(struct process *p, void **socket, const struct region *region, enum service service,
    const struct socket_options *options, _Atomic uint32_t *refusal, struct error_context *error);
void process_ready(struct process *p);
/* Prints the line, as a failure of this actor; returns the exit code for main. */
int process_fail(struct process *p, int code, const struct error_context *error);
int process_run(struct process *p); /* the exit code; closes everything that process_start opened, and
                                     * first the sockets that the actor left open on p->context */
/* Where this region listens for a service: an address of this machine, of `bind` or of its node. */
int process_listens(const struct process *p, enum service service, char out[static 128], struct error_context *error);
/* ipc endpoint in the region's directory: "ipc://DIR/REGION/NAME". */
void process_ipc(const struct process *p, const char *name, char out[static 256]);

#endif
