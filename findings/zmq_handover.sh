#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# ZMQ_ROUTER_HANDOVER with heartbeats: two live peers with one identity take turns, and each loses what it sends meanwhile.
#
# Guess: the ROUTER closes the earlier peer's connection, the later peer keeps the identity, and heartbeats do not matter
#     because both peers are alive.
# Seen: without heartbeats the earlier peer stays connected, gets no event, and its sends succeed and are thrown away.
#     With heartbeats on, the ROUTER no longer answers that connection; it times out, the peer returns and takes the
#     identity back from the later one, which is now the one that nobody hears: back and forth, one heartbeat timeout
#     each. All sends succeed; more than a third is lost.
# So: identities are unique per life of a process, messages are numbered, and silence of the other side, not the state of
#     the connection, is the sign that nothing arrives.
#
# Prints:
#   libzmq5=4.3.4-6
#   libzmq3-dev=4.3.4-6
#     (silent: heard 0 of 60 and 60 of 60, 0 changes)
#     (beating: heard 25 of 60 and 26 of 60, 13 changes)
#     no heartbeats, sends of both: all accepted
#     no heartbeats, the first peer: nothing heard
#     no heartbeats, the second peer: all heard
#     no heartbeats, disconnects that the first was told of: none
#     heartbeats, the first peer: some lost
#     heartbeats, the second peer: some lost
#     heartbeats, changes of the one that is heard: many
#   still so
work=$(mktemp -d) || exit 2
. "$(dirname "$0")/lib.sh"
packages libzmq5=4.3.4-6 libzmq3-dev=4.3.4-6
compile two zmq <<'C' || exit 2
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum { SENDS = 60, EVERY_US = 100000 };
static void *context, *router, *peers[2], *monitor;

static void set(void *socket, int option, int value)
{
	zmq_setsockopt(socket, option, &value, sizeof value);
}

static void *socket_of(int type, int heartbeats)
{
	void *socket = zmq_socket(context, type);
	set(socket, ZMQ_LINGER, 0);
	if (heartbeats) {
		set(socket, ZMQ_HEARTBEAT_IVL, 100);
		set(socket, ZMQ_HEARTBEAT_TIMEOUT, 300);
	}
	return socket;
}

static int disconnects(void)
{
	int count = 0;
	for (char frame[256]; zmq_recv(monitor, frame, sizeof frame, ZMQ_DONTWAIT) >= 0;)
		count += zmq_recv(monitor, frame, sizeof frame, 0) >= 0;
	return count;
}

/* Both peers send for six seconds. Prints how much the router heard of each, and how often the one that it hears changed. */
static void run(const char *name, int heartbeats)
{
	char endpoint[100], watch[64], byte;
	int sent[2] = {0}, heard[2] = {0}, changes = 0, last = -1;
	snprintf(endpoint, sizeof endpoint, "ipc://%s/%s", getenv("work"), name);
	snprintf(watch, sizeof watch, "inproc://%s", name);
	router = socket_of(ZMQ_ROUTER, heartbeats);
	set(router, ZMQ_ROUTER_HANDOVER, 1);
	zmq_bind(router, endpoint);
	for (int i = 0; i < 2; i++) {
		peers[i] = socket_of(ZMQ_DEALER, heartbeats);
		set(peers[i], ZMQ_RECONNECT_IVL, 20);
		zmq_setsockopt(peers[i], ZMQ_ROUTING_ID, "same", 4);
		if (i == 0) {
			zmq_socket_monitor(peers[i], watch, ZMQ_EVENT_DISCONNECTED);
			monitor = zmq_socket(context, ZMQ_PAIR);
			zmq_connect(monitor, watch);
		}
		zmq_connect(peers[i], endpoint);
		usleep(500000);
	}
	for (int n = 0; n < SENDS; n++) {
		for (int i = 0; i < 2; i++)
			sent[i] += zmq_send(peers[i], &"01"[i], 1, ZMQ_DONTWAIT) == 1;
		usleep(EVERY_US);
		while (zmq_recv(router, endpoint, sizeof endpoint, ZMQ_DONTWAIT) >= 0 && zmq_recv(router, &byte, 1, 0) == 1) {
			heard[byte - '0']++;
			changes += last >= 0 && last != byte - '0';
			last = byte - '0';
		}
	}
	fprintf(stderr, "  (%s: heard %d of %d and %d of %d, %d changes)\n", name, heard[0], sent[0], heard[1], sent[1],
	    changes);
	printf("%s-first: %s\n", name, heard[0] == 0 ? "nothing heard" : heard[0] < sent[0] - 10 ? "some lost" : "all heard");
	printf("%s-second: %s\n", name, heard[1] == 0 ? "nothing heard" : heard[1] < sent[1] - 10 ? "some lost" : "all heard");
	printf("%s-sends: %s\n", name, sent[0] == SENDS && sent[1] == SENDS ? "all accepted" : "some refused");
	printf("%s-turns: %s\n", name, changes >= 4 ? "many" : changes ? "few" : "none");
	printf("%s-disconnects: %s\n", name, disconnects() ? "some" : "none");
	zmq_socket_monitor(peers[0], NULL, 0);
	zmq_close(monitor);
	zmq_close(peers[0]);
	zmq_close(peers[1]);
	zmq_close(router);
}

int main(void)
{
	context = zmq_ctx_new();
	run("silent", 0);
	run("beating", 1);
	fflush(stdout);
	_exit(0);
}
C
export work
timeout 60 "$work/two" >"$work/seen" || give_up "the test ended with $?"
seen() { sed -n "s/^$1: //p" "$work/seen"; }
expect "no heartbeats, sends of both" "all accepted" "$(seen silent-sends)"
expect "no heartbeats, the first peer" "nothing heard" "$(seen silent-first)"
expect "no heartbeats, the second peer" "all heard" "$(seen silent-second)"
expect "no heartbeats, disconnects that the first was told of" "none" "$(seen silent-disconnects)"
expect "heartbeats, the first peer" "some lost" "$(seen beating-first)"
expect "heartbeats, the second peer" "some lost" "$(seen beating-second)"
expect "heartbeats, changes of the one that is heard" "many" "$(seen beating-turns)"
finish
