/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int resolve(const char *host, uint16_t port, int flags, struct addrinfo **found)
{
	char service[8], name[256];
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
	size_t size = strlen(host);
	snprintf(service, sizeof service, "%u", port);
	if (host[0] == '[' && size > 2 && host[size - 1] == ']')
		snprintf(name, sizeof name, "%.*s", (int)(size - 2), host + 1);
	else
		snprintf(name, sizeof name, "%s", strcmp(host, "*") == 0 ? "0.0.0.0" : host);
	return getaddrinfo(name, service, &hints, found);
}

/* The kernel knows best which addresses are ours: it lets us bind them. errno of the bind otherwise; else *out, if it is asked
 * for, listens. */
static int try_bind(const struct addrinfo *address, int *out)
{
	int yes = 1, failure = 0;
	int fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errno;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(fd, address->ai_addr, address->ai_addrlen) < 0 || listen(fd, 1) < 0)
		failure = errno;
	if (failure || !out)
		close(fd);
	else
		*out = fd;
	return failure;
}

int address_local(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *size, struct error_context *error)
{
	struct addrinfo *found = NULL;
	int failure = resolve(host, 0, 0, &found);
	if (failure)
		return error_set(error, ERR_CONFIGURATION, "%s: %s", host, gai_strerror(failure));
	const struct addrinfo *at = found;
	while (at && (failure = try_bind(at, NULL)) != 0)
		at = at->ai_next;
	if (at) {
		memcpy(out, at->ai_addr, at->ai_addrlen);
		*size = at->ai_addrlen;
		in_port_t *place = at->ai_family == AF_INET6 ? &((struct sockaddr_in6 *)out)->sin6_port
		                                             : &((struct sockaddr_in *)out)->sin_port;
		*place = htons(port);
	}
	freeaddrinfo(found);
	return at ? 0 : error_set(error, ERR_CONFIGURATION, "%s is no address of this machine: %s", host, strerror(failure));
}

static int address_format(const struct sockaddr *address, socklen_t size, char out[static ADDRESS_TEXT_SIZE])
{
	char text[NI_MAXHOST];
	if (getnameinfo(address, size, text, sizeof text, NULL, 0, NI_NUMERICHOST) != 0)
		return ERR_CONFIGURATION;
	snprintf(out, ADDRESS_TEXT_SIZE, address->sa_family == AF_INET6 ? "[%.60s]" : "%.60s", text);
	return 0;
}

int address_local_text(const char *host, char out[static ADDRESS_TEXT_SIZE], struct error_context *error)
{
	struct sockaddr_storage address;
	socklen_t size;
	int code = address_local(host, 0, &address, &size, error);
	if (!code && address_format((const struct sockaddr *)&address, size, out) != 0)
		code = error_set(error, ERR_CONFIGURATION, "%s: its address cannot be written down", host);
	return code;
}

int address_find(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *size, struct error_context *error)
{
	struct addrinfo *found = NULL;
	int failure = resolve(host, port, 0, &found);
	if (failure)
		return error_set(error, ERR_CONFIGURATION, "%s: %s", host, gai_strerror(failure));
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*size = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

int address_look(const char *host, char local[static ADDRESS_TEXT_SIZE], struct error_context *error)
{
	struct addrinfo *found = NULL;
	int failure = resolve(host, 0, 0, &found);
	local[0] = 0;
	if (failure)
		return error_set(error, ERR_CONFIGURATION, "%s: %s", host, gai_strerror(failure));
	const struct addrinfo *at = found;
	while (at && try_bind(at, NULL) != 0)
		at = at->ai_next;
	int code = at ? address_format(at->ai_addr, at->ai_addrlen, local) : 0;
	freeaddrinfo(found);
	return code ? error_set(error, code, "%s: its address cannot be written down", host) : 0;
}

bool address_is_numeric(const char *host)
{
	struct addrinfo *found = NULL;
	bool is_numeric = resolve(host, 0, AI_NUMERICHOST, &found) == 0;
	if (is_numeric)
		freeaddrinfo(found);
	return is_numeric;
}

bool address_is_local(const char *host)
{
	struct sockaddr_storage address;
	socklen_t size;
	return address_local(host, 0, &address, &size, NULL) == 0;
}

bool address_is_wildcard(const char *host)
{
	return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "*") == 0 || strcmp(host, "[::]") == 0;
}

int address_port_open(const char *host, uint16_t port, int *fd, struct error_context *error)
{
	struct sockaddr_storage address;
	socklen_t size;
	int code = address_local(host, port, &address, &size, error);
	if (code)
		return code;
	struct addrinfo one = {.ai_family = address.ss_family, .ai_addr = (struct sockaddr *)&address, .ai_addrlen = size};
	int failure = try_bind(&one, fd);
	if (failure == EADDRINUSE)
		return error_set(error, ERR_ALREADY_RUNS, "port %u of %s is taken by another program", port, host);
	return failure ? error_set(error, ERR_CONFIGURATION, "port %u of %s: %s", port, host, strerror(failure)) : 0;
}
