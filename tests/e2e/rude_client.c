/* SPDX-License-Identifier: Apache-2.0
 *
 * Clients that a region has to bear, and one that tells how it bears them. Run by clients.sh.
 *
 *   rude-client silent PORT COUNT SECONDS                            so many connections that never say a word
 *   rude-client hoard KEYDIR REGION ENDPOINT KEY COUNT SECONDS       asks COUNT times for the value of KEY, reads no answer
 *   rude-client ask KEYDIR REGION ENDPOINT KIND COUNT A-MESSAGE SECONDS    COUNT questions (KIND: bucket, scan), A-MESSAGE at a
 * time; prints how many were answered in SECONDS, and how many OVERLOADED rude-client probe KEYDIR REGION ENDPOINT KEY SECONDS
 * one get after the other; prints how many, the longest in microseconds, and how many failed
 *
 * Exit code 0: it could do what it was to do. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/client.pb-c.h"
#include "runtime/socket.h"
#include "tests/unit/client/short.h"

#define OPERATIONS_MAX 4096u
#define GETS_A_MESSAGE 64u
#define BUCKETS        256u

static void stop_with(const char *what, const char *why)
{
	fprintf(stderr, "rude-client: %s: %s\n", what, why);
	exit(1);
}

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static int silent(char **arguments)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[0]))};
	uint64_t until_us = now_us() + (uint64_t)atoi(arguments[2]) * 1000000;
	int count = atoi(arguments[1]);
	int *fds = malloc((size_t)count * sizeof *fds);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	for (int i = 0; i < count; i++)
		fds[i] = -1;
	/* What the other side has closed is opened again. */
	while (now_us() < until_us) {
		for (int i = 0; i < count; i++) {
			char byte;
			ssize_t got = 1;
			while (fds[i] >= 0 && got == 1)
				got = recv(fds[i], &byte, 1, MSG_DONTWAIT); /* its greeting */
			if (fds[i] >= 0 && got < 0 && errno == EAGAIN)
				continue;
			if (fds[i] >= 0)
				close(fds[i]);
			fds[i] = socket(AF_INET, SOCK_STREAM, 0);
			if (fds[i] < 0)
				stop_with("silent", "too few descriptors of its own");
			if (connect(fds[i], (struct sockaddr *)&address, sizeof address) < 0) {
				close(fds[i]);
				fds[i] = -1;
			}
		}
		usleep(20000);
	}
	return 0;
}

/* Without heartbeats, which would make this side close what it does not read. */
static void *connect_as_client(char **arguments, void *context, int high_water)
{
	static struct key_pair own;
	static char server_key[KEY_TEXT_SIZE];
	struct error_context error = {0};
	int is_none = 0;
	void *socket = zmq_socket(context, ZMQ_DEALER);
	if (keys_load(arguments[0], KEY_NAME_CLIENT, &own, &error) != 0 ||
	    keys_load_public(arguments[0], arguments[1], server_key, &error) != 0)
		stop_with("keys", error.text);
	zmq_setsockopt(socket, ZMQ_LINGER, &is_none, sizeof is_none);
	zmq_setsockopt(socket, ZMQ_SNDHWM, &high_water, sizeof high_water);
	zmq_setsockopt(socket, ZMQ_RCVHWM, &high_water, sizeof high_water);
	if (zmq_setsockopt(socket, ZMQ_CURVE_SECRETKEY, own.secret_text, KEY_TEXT_SIZE) < 0 ||
	    zmq_setsockopt(socket, ZMQ_CURVE_PUBLICKEY, own.public_text, KEY_TEXT_SIZE) < 0 ||
	    zmq_setsockopt(socket, ZMQ_CURVE_SERVERKEY, server_key, KEY_TEXT_SIZE) < 0 || zmq_connect(socket, arguments[2]) < 0)
		stop_with("connect", zmq_strerror(errno));
	return socket;
}

static void questions_send(void *socket, Godwit__Client__Kind kind, const char *key, uint32_t first, uint32_t count)
{
	static Godwit__Client__Operation operations[OPERATIONS_MAX], *list[OPERATIONS_MAX];
	static uint8_t bytes[OPERATIONS_MAX * 64];
	Godwit__Client__Request request = GODWIT__CLIENT__REQUEST__INIT;
	int patience_ms = 10000;
	for (uint32_t i = 0; i < count; i++) {
		godwit__client__operation__init(&operations[i]);
		operations[i].number = first + i;
		operations[i].kind = kind;
		if (kind == GODWIT__CLIENT__KIND__GET)
			operations[i].key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
		if (kind == GODWIT__CLIENT__KIND__BUCKET)
			operations[i].limit = (first + i) % BUCKETS;
		list[i] = &operations[i];
	}
	request.protocol = PROTOCOL_VERSION;
	request.client_id = 77 + (uint64_t)getpid();
	request.operations = list;
	request.n_operations = count;
	if (godwit__client__request__get_packed_size(&request) > sizeof bytes)
		stop_with("questions", "too long a key");
	zmq_setsockopt(socket, ZMQ_SNDTIMEO, &patience_ms, sizeof patience_ms);
	if (zmq_send(socket, bytes, godwit__client__request__pack(&request, bytes), 0) < 0)
		stop_with("questions", zmq_strerror(errno));
}

static int hoard(char **arguments)
{
	/* Takes as little as it can; the rest stays where it is. */
	void *context = zmq_ctx_new(), *socket = connect_as_client(arguments, context, 1);
	uint32_t count = (uint32_t)atoi(arguments[4]);
	for (uint32_t sent = 0; sent < count; sent += GETS_A_MESSAGE)
		questions_send(socket, GODWIT__CLIENT__KIND__GET, arguments[3], sent + 1, GETS_A_MESSAGE);
	sleep((unsigned)atoi(arguments[5]));
	return 0;
}

static int ask(char **arguments)
{
	void *context = zmq_ctx_new(), *socket = connect_as_client(arguments, context, 1000);
	bool is_bucket = strcmp(arguments[3], "bucket") == 0;
	uint32_t count = (uint32_t)atoi(arguments[4]), each = (uint32_t)atoi(arguments[5]), answered = 0, refused = 0;
	uint64_t until_us = now_us() + (uint64_t)atoi(arguments[6]) * 1000000;
	if (!each || each > OPERATIONS_MAX)
		stop_with("ask", "too many in a message");
	for (uint32_t sent = 0; sent < count; sent += each)
		questions_send(
		    socket, is_bucket ? GODWIT__CLIENT__KIND__BUCKET : GODWIT__CLIENT__KIND__SCAN, "", sent + 1, each);
	while (answered < count && now_us() < until_us) {
		int patience_ms = 50;
		zmq_msg_t message;
		zmq_msg_init(&message);
		zmq_setsockopt(socket, ZMQ_RCVTIMEO, &patience_ms, sizeof patience_ms);
		if (zmq_msg_recv(&message, socket, 0) < 0)
			continue;
		Godwit__Client__Answers *answers =
		    godwit__client__answers__unpack(NULL, zmq_msg_size(&message), zmq_msg_data(&message));
		if (!answers)
			stop_with("ask", "an answer that cannot be read");
		for (size_t i = 0; i < answers->n_answers; i++) {
			if (answers->answers[i]->number != ++answered)
				stop_with("ask", "answers out of order, or one twice");
			refused += answers->answers[i]->code == ERR_OVERLOADED;
		}
		godwit__client__answers__free_unpacked(answers, NULL);
		zmq_msg_close(&message);
	}
	printf("%u %u\n", answered, refused);
	return 0;
}

static int probe(char **arguments)
{
	struct gw_options options = {.endpoint = arguments[2], .key_dir = arguments[0], .region = arguments[1]};
	struct gw_connection *connection;
	struct client_result result;
	char error[320] = "";
	uint64_t until_us = now_us() + (uint64_t)atoi(arguments[4]) * 1000000, longest_us = 0;
	unsigned count = 0, failed = 0;
	if (gw_connect(&connection, &options, error) < 0)
		stop_with("probe", error);
	while (now_us() < until_us) {
		uint64_t before_us = now_us();
		int code = client_get(connection, NULL, arguments[3], strlen(arguments[3]), &result);
		uint64_t took_us = now_us() - before_us;
		if (code && failed++ == 0)
			fprintf(stderr, "rude-client: probe: %s: %s\n", gw_error_name(code), result.reason);
		if (count && took_us > longest_us) /* the first one connects */
			longest_us = took_us;
		count++;
		usleep(1000);
	}
	printf("%u %llu %u\n", count, (unsigned long long)longest_us, failed);
	gw_close(connection);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "silent") == 0)
		return silent(argv + 2);
	if (argc == 8 && strcmp(argv[1], "hoard") == 0)
		return hoard(argv + 2);
	if (argc == 9 && strcmp(argv[1], "ask") == 0)
		return ask(argv + 2);
	if (argc == 7 && strcmp(argv[1], "probe") == 0)
		return probe(argv + 2);
	stop_with("usage", "see the head of rude_client.c");
}
