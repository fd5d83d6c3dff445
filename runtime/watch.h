/* SPDX-License-Identifier: Apache-2.0
 *
 * Watches the key exchange of a connecting CURVE socket, which libzmq by itself says nothing about: notes who refuses whom, and
 * connects again, with the key that the files now say the peer has. A peer in the middle of a rotation has two: they are tried
 * in turn.
 *
 *   refused by the peer's ZAP (400): the peer does not know our key. libzmq gives such a connection up; tried again each
 * second. closed during the exchange, three times in a row: the peer has another key than the one we take for its own.
 *
 * A peer that is stopped, dead or cut off is neither: then nothing is closed, or nothing is connected. */
#ifndef GODWIT_RUNTIME_WATCH_H
#define GODWIT_RUNTIME_WATCH_H
#include <stdatomic.h>
#include <stdint.h>

#include "base/error.h"
#include "runtime/keys.h"

enum key_refusal { KEY_ACCEPTED, KEY_UNKNOWN_THERE, KEY_OTHER_THERE };

struct watch;
struct watch_options {
	struct loop *loop;
	void *context, *socket; /* socket_prepare for `endpoint`, and not yet dialled: a refusal that came before would be
	                          missed; its owner closes it, after watch_stop */
	const char *endpoint, *key_dir;
	const char *own, *peer;         /* names of the keys */
	const char *own_key, *peer_key; /* public, as the socket uses them */
	_Atomic uint32_t *refusal;      /* enum key_refusal is kept here, and changes are logged; NULL: neither */
};
/* Copies all texts. */
int watch_start(struct watch **watch, const struct watch_options *options, struct error_context *error);
void watch_stop(struct watch *watch);

#endif
