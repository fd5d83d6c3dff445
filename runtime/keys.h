/* SPDX-License-Identifier: Apache-2.0
 *
 * CURVE keys: a pair for each region and for each client, in KEYDIR as NAME.public and NAME.secret (Z85 text, files 0600,
 * directory 0700). A host holds the secrets of its own regions and clients, and only the public keys of the others. While a
 * pair is being rotated the next one lies beside it (NAME.next.public, NAME.next.secret), and both are accepted. A client other
 * than `client` has NAME.rights on the hosts of regions: without it the key is not let in. The ZAP handler (RFC 27) lets in
 * exactly the public keys found in KEYDIR. docs/operating.md has the procedures. */
#ifndef GODWIT_RUNTIME_KEYS_H
#define GODWIT_RUNTIME_KEYS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define KEY_TEXT_SIZE 41 /* Z85 of 32 bytes and a zero */
#define KEY_NAME_SIZE 41 /* a-z, 0-9, - and a zero */
#define KEY_NAME_CLIENT                                                                                                        \
	"client"            /* the pair that the commands of this host use; it has every right on the regions of this host */
#define KEY_CLIENTS_MAX 64u /* with a .rights file in one KEYDIR */
#define ZAP_DOMAIN      "godwit"
#define ZAP_ENDPOINT    "inproc://zeromq.zap.01"
struct key_pair {
	char public_text[KEY_TEXT_SIZE];
	char secret_text[KEY_TEXT_SIZE];
};

int keys_name_check(const char *name, struct error_context *error);
/* Is this text 32 bytes of Z85? */
bool keys_text_is_key(const char *text);
/* Makes NAME's pair if it is not there (each file written under another name and renamed; repeatable; two processes at once end
 * up with one pair). Makes key_dir too, not its parents. */
int keys_make(const char *key_dir, const char *name, struct error_context *error);
/* What keys_make would refuse, and a pair that keys_load would; makes nothing. 0 when NAME has no pair yet. */
int keys_make_look(const char *key_dir, const char *name, struct error_context *error);
/* Refuses a secret that others can read. */
int keys_load(const char *key_dir, const char *name, struct key_pair *pair, struct error_context *error);
int keys_load_public(
    const char *key_dir, const char *name, char public_text[static KEY_TEXT_SIZE], struct error_context *error);
/* ERR_NOT_FOUND: no rotation is under way. */
int keys_load_next(const char *key_dir, const char *name, char public_text[static KEY_TEXT_SIZE], struct error_context *error);
/* Is there a file NAME.secret, readable or not? */
bool keys_has_secret(const char *key_dir, const char *name);
/* Every secret of NAME, the next one included, as `keys_load` would take it. */
int keys_check_secrets(const char *key_dir, const char *name, struct error_context *error);

/* The directory belongs to one host of several: nothing but `godwit keys` makes keys in it. */
bool keys_is_of_one_host(const char *key_dir);
int keys_mark_one_host(const char *key_dir, struct error_context *error);

enum key_import { KEY_IMPORT_NEW, KEY_IMPORT_SAME, KEY_IMPORT_NEXT_IS_CURRENT, KEY_IMPORT_REPLACED };
/* Takes in a public key of elsewhere. is_next: the one that NAME is about to use, accepted beside the present one. A key that
 * was the next one becomes the present one, and the one before it is no longer accepted. Another key in the place of a known
 * one is refused unless `replace`. Refuses a name whose secret is here. *done may be NULL. */
int keys_import(const char *key_dir, const char *name, const char *public_text, bool is_next, bool replace,
    enum key_import *done, struct error_context *error);
/* Makes the next pair of NAME, whose secret is here. */
int keys_rotate(const char *key_dir, const char *name, struct error_context *error);
/* The next pair becomes the present one; the one before it is gone. A call that was killed in between can be repeated. */
int keys_rotate_finish(const char *key_dir, const char *name, struct error_context *error);

/* A file beside the keys, written whole or not at all, 0600. */
int keys_write_file(const char *key_dir, const char *name, const char *ending, const char *text, struct error_context *error);
/* The text of such a file, with a zero behind it: at most `max` bytes in all. ERR_NOT_FOUND: there is none. Refuses a file of
 * another user (root's is taken), one that others can write, a link. */
int keys_read_file(
    const char *key_dir, const char *name, const char *ending, char *text, size_t max, struct error_context *error);
/* Names in KEYDIR that have a file with this ending ("secret", "public", "rights"), sorted; the first `max` of them. *count:
 * how many there are, which may be more; 0 when there is no such directory. ERR_IO: it cannot be read, and *count is 0. */
int keys_list(const char *key_dir, const char *ending, char (*names)[KEY_NAME_SIZE], uint32_t max, uint32_t *count,
    struct error_context *error);
/* A public key of NAME (its present one, or the next) that is not `in_use`: for whoever was turned down with that. False: none,
 * or it cannot be read; `out` stays as it was, and may be `in_use`. */
bool keys_choose_other(const char *key_dir, const char *name, const char *in_use, char out[static KEY_TEXT_SIZE]);

/* The name that other hosts know this one's client key by (client.name). ERR_NOT_FOUND: none was given. */
#define KEY_CLIENT_NAME_ENDING "name"
int keys_client_name(const char *key_dir, char name[static KEY_NAME_SIZE], struct error_context *error);

struct loop;
struct counter_block;
struct rights;
struct zap;
/* KEYDIR is read again when it has changed, so that keys made later are let in and removed ones are not; what cannot be read
 * (no descriptor is left, the disk) stays as it was known, and a line tells so. Serves ZAP on the context from the given loop
 * (no thread). allow: NULL-terminated names of the pairs let in; with clients, also `client` and every name with rights.
 * Unknown keys are refused with 400, so that the other side is told, counted (keys_refused), and logged: a few lines a minute
 * at most, whatever strangers send. Must be started before a CURVE server socket is bound. */
int zap_start(struct zap **zap, void *context, struct loop *loop, const char *key_dir, const char *const *allow, bool clients,
    struct counter_block *counters, struct error_context *error);
void zap_stop(struct zap *zap);
/* Of the key called that (message_user); NULL: it has none any more. KEYDIR is looked at again once a second. Borrowed until
 * the next call. */
const struct rights *zap_rights(struct zap *zap, const char *name, uint64_t now_ns);

#endif
