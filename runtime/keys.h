/* SPDX-License-Identifier: Apache-2.0
 *
 * CURVE keys: one pair a region and one for clients, in KEYDIR as NAME.public and NAME.secret (Z85 text, files 0600, directory
 * 0700), made by `godwit up` on first start. The ZAP handler (RFC 27) lets in exactly the public keys found in KEYDIR. */
#ifndef GODWIT_RUNTIME_KEYS_H
#define GODWIT_RUNTIME_KEYS_H
#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"

#define KEY_TEXT_SIZE 41 /* Z85 of 32 bytes and a zero */
#define KEY_NAME_CLIENT "client" /* the pair that all clients share */
#define ZAP_DOMAIN "godwit"
#define ZAP_ENDPOINT "inproc://zeromq.zap.01"
struct key_pair {
	char public_text[KEY_TEXT_SIZE];
	char secret_text[KEY_TEXT_SIZE];
};

/* Makes NAME's pair if it is not there (each file written under another name and renamed; repeatable; two processes at once end
 * up with one pair). Makes key_dir too, not its parents. */
int keys_make(const char *key_dir, const char *name, struct error_context *error);
/* Refuses a secret that others can read. */
int keys_load(const char *key_dir, const char *name, struct key_pair *pair, struct error_context *error);
int keys_load_public(const char *key_dir, const char *name, char public_text[static KEY_TEXT_SIZE], struct error_context *error);

struct loop;
struct counter_block;
struct zap;
/* KEYDIR is read again when it has changed, so that keys made later are let in and removed ones are not: a refusal is
 * therefore temporary (status 300: the other side tries again by itself, which after 400 it never does).
 * Serves ZAP on the context from the given loop (no thread). allow: NULL-terminated names of the pairs let in. Unknown keys are
 * refused, counted (keys_refused), logged once each. Must be started before a CURVE server socket is bound. */
int zap_start(struct zap **zap, void *context, struct loop *loop, const char *key_dir, const char *const *allow, struct counter_block *counters, struct error_context *error);
void zap_stop(struct zap *zap);

#endif
