#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A ZeroMQ peer that is refused once in the handshake never connects again; one that gets no answer tries for ever.
#
# Guess: a connected socket reconnects whatever ended the last attempt. An operator who started a server without keys by
#     mistake, or before it knew a peer's key, restarts it, and all peers come back.
# Seen: so it is with nobody listening, with a server that holds another key, and after ZAP 300. Another mechanism (CURVE
#     against NULL), ZAP 400 and ZAP 500 end the connection inside the peer's socket: it makes no attempt any more,
#     although the server is right by then. The socket stays open; zmq_send accepts a message that never leaves, or
#     answers EAGAIN (both seen, by chance).
# So: on HANDSHAKE_FAILED_PROTOCOL and HANDSHAKE_FAILED_AUTH disconnect and connect again; a ZAP handler that may change
#     its mind answers 300.
#
# Prints:
#   libzmq5=4.3.4-6
#   libzmq3-dev=4.3.4-6
#     nobody listens: tries again, arrives
#     another key: tries again, arrives
#     ZAP 300: tries again, arrives
#     ZAP 400: no attempt in 3 s, nothing arrives
#     ZAP 500: no attempt in 3 s, nothing arrives
#     no keys: no attempt in 3 s, nothing arrives
#   still so
work=$(mktemp -d) || exit 2
. "$(dirname "$0")/lib.sh"
packages libzmq5=4.3.4-6 libzmq3-dev=4.3.4-6
compile try zmq <<'C' || exit 2
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

static void *context;
static char server_public[41], server_secret[41], client_public[41], client_secret[41], other_public[41], other_secret[41];
static _Atomic int zap_status = 200;

static void set(void *socket, int option, int value)
{
	zmq_setsockopt(socket, option, &value, sizeof value);
}

static void *zap(void *socket)
{
	for (;;) {
		char request_id[64];
		int more = 1, id_size = 0;
		for (int i = 0; more; i++) {
			char part[256];
			int size = zmq_recv(socket, part, sizeof part, 0);
			if (i == 1)
				memcpy(request_id, part, id_size = size);
			zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &(size_t){sizeof more});
		}
		char status[4];
		snprintf(status, sizeof status, "%d", zap_status);
		zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
		zmq_send(socket, request_id, id_size, ZMQ_SNDMORE);
		zmq_send(socket, status, 3, ZMQ_SNDMORE);
		zmq_send(socket, "", 0, ZMQ_SNDMORE);
		zmq_send(socket, "", 0, ZMQ_SNDMORE);
		zmq_send(socket, "", 0, 0);
	}
	return NULL;
}

static void *server(const char *secret, const char *endpoint)
{
	void *socket = zmq_socket(context, ZMQ_ROUTER);
	set(socket, ZMQ_LINGER, 0);
	set(socket, ZMQ_HANDSHAKE_IVL, 200);
	if (secret) {
		set(socket, ZMQ_CURVE_SERVER, 1);
		zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, secret, 41);
		zmq_setsockopt(socket, ZMQ_ZAP_DOMAIN, "test", 4);
	}
	while (zmq_bind(socket, endpoint))
		usleep(10000);
	return socket;
}

static int attempts(void *monitor)
{
	int count = 0;
	for (char frame[256]; zmq_recv(monitor, frame, sizeof frame, ZMQ_DONTWAIT) >= 0; zmq_recv(monitor, frame, sizeof frame, 0)) {
		uint16_t event;
		memcpy(&event, frame, sizeof event);
		count += event == ZMQ_EVENT_CONNECTED || event == ZMQ_EVENT_CONNECT_RETRIED;
	}
	return count;
}

/* A client meets what is wrong for a second, then a right server for up to three. */
static void try(const char *what, bool listens, const char *secret, int status)
{
	char endpoint[64], name[64];
	static int number;
	snprintf(name, sizeof name, "inproc://monitor-%d", ++number);
	snprintf(endpoint, sizeof endpoint, "ipc://%s/%d", getenv("work"), number);
	zap_status = status;
	void *wrong = listens ? server(secret, endpoint) : NULL;
	void *client = zmq_socket(context, ZMQ_DEALER), *monitor = zmq_socket(context, ZMQ_PAIR);
	set(client, ZMQ_LINGER, 0);
	set(client, ZMQ_RECONNECT_IVL, 20);
	set(client, ZMQ_HANDSHAKE_IVL, 200);
	zmq_setsockopt(client, ZMQ_CURVE_SERVERKEY, server_public, 41);
	zmq_setsockopt(client, ZMQ_CURVE_PUBLICKEY, client_public, 41);
	zmq_setsockopt(client, ZMQ_CURVE_SECRETKEY, client_secret, 41);
	zmq_socket_monitor(client, name, ZMQ_EVENT_ALL);
	zmq_connect(monitor, name);
	zmq_connect(client, endpoint);
	sleep(1);
	attempts(monitor);
	if (wrong)
		zmq_close(wrong);
	zap_status = 200;
	void *right = server(server_secret, endpoint);
	set(right, ZMQ_RCVTIMEO, 3000);
	zmq_send(client, "hello", 5, ZMQ_DONTWAIT);
	char message[16];
	bool arrived = zmq_recv(right, message, sizeof message, 0) >= 0;
	printf("%s: %s, %s\n", what, attempts(monitor) ? "tries again" : "no attempt in 3 s",
	    arrived ? "arrives" : "nothing arrives");
	zmq_socket_monitor(client, NULL, 0);
	zmq_close(monitor);
	zmq_close(client);
	zmq_close(right);
}

int main(void)
{
	setbuf(stdout, NULL);
	context = zmq_ctx_new();
	zmq_curve_keypair(server_public, server_secret);
	zmq_curve_keypair(client_public, client_secret);
	zmq_curve_keypair(other_public, other_secret);
	void *zap_socket = zmq_socket(context, ZMQ_REP);
	zmq_bind(zap_socket, "inproc://zeromq.zap.01");
	pthread_t thread;
	pthread_create(&thread, NULL, zap, zap_socket);
	try("nobody listens", false, NULL, 200);
	try("another key", true, other_secret, 200);
	try("ZAP 300", true, server_secret, 300);
	try("ZAP 400", true, server_secret, 400);
	try("ZAP 500", true, server_secret, 500);
	try("no keys", true, NULL, 200);
	exit(0);
}
C
export work
timeout 60 "$work/try" >"$work/seen" || give_up "the test ended with $?"
seen() { sed -n "s/^$1: //p" "$work/seen"; }
for what in "nobody listens" "another key" "ZAP 300"; do
	expect "$what" "tries again, arrives" "$(seen "$what")"
done
for what in "ZAP 400" "ZAP 500" "no keys"; do
	expect "$what" "no attempt in 3 s, nothing arrives" "$(seen "$what")"
done
finish
