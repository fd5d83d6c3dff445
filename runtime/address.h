/* SPDX-License-Identifier: Apache-2.0
 *
 * Hosts as topologies name them: a host name, an IPv4 address, an IPv6 address in brackets. Asks the resolver, which may block
 * for as long as it likes: for starts and commands, not for loops. */
#ifndef GODWIT_RUNTIME_ADDRESS_H
#define GODWIT_RUNTIME_ADDRESS_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/error.h"

#define ADDRESS_TEXT_SIZE 64

/* The first of the host's addresses that this machine has: one that can be bound. ERR_CONFIGURATION: it is no host, or of
 * another machine. */
int address_local(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *size, struct error_context *error);
/* The same as text for an endpoint: numeric, IPv6 in brackets. */
int address_local_text(const char *host, char out[static ADDRESS_TEXT_SIZE], struct error_context *error);
bool address_is_local(const char *host);
/* Both at once, with one question to the resolver: 0 when the name is known, or it is an address, with the text of the first of
 * its addresses that this machine has, "" for none. ERR_CONFIGURATION: it is not known, with the reason. */
int address_look(const char *host, char local[static ADDRESS_TEXT_SIZE], struct error_context *error);
/* Is it an address, which the resolver is not needed for? */
bool address_is_numeric(const char *host);
/* "0.0.0.0", "*", "[::]": every address of whatever machine. */
bool address_is_wildcard(const char *host);
/* The first of the host's addresses, of whatever machine, with that port. ERR_CONFIGURATION with the reason. */
int address_find(const char *host, uint16_t port, struct sockaddr_storage *out, socklen_t *size, struct error_context *error);
/* Listens on HOST:PORT, to see that it can be done, until *fd is closed. ERR_ALREADY_RUNS: somebody else does;
 * ERR_CONFIGURATION with the reason. */
int address_port_open(const char *host, uint16_t port, int *fd, struct error_context *error);

#endif
