/* SPDX-License-Identifier: Apache-2.0 */
#include "cmd/godwit/hosts.h"

#include "runtime/keys.h"

uint32_t hosts_regions_local(const struct cli *cli)
{
	const struct topology *topology = &cli->topology;
	uint32_t mask = 0;
	for (uint32_t i = 0; i < topology->region_count; i++)
		if (cli_region_is_local(cli, &topology->regions[i]))
			mask |= 1u << i;
	return mask;
}

/* All regions are of this machine, and nobody has decided that they shall be as on several. */
static bool keys_are_made_here(const struct cli *cli)
{
	return hosts_regions_local(cli) == (uint32_t)((1ull << cli->topology.region_count) - 1) &&
	       !keys_is_of_one_host(cli->key_dir);
}

/* A region needs its own secret and everybody's public key. On one of several hosts nothing is made up: a key that nobody else
 * knows would be a region that starts, and talks to nobody. */
int hosts_keys_look(const struct cli *cli, uint32_t mask, struct error_context *error)
{
	int code = ERR_OK;
	if (keys_are_made_here(cli))
		return code;
	for (uint32_t i = 0; !code && i < cli->topology.region_count; i++) {
		const struct region *region = &cli->topology.regions[i];
		char key[KEY_TEXT_SIZE];
		struct error_context reason = {{0}};
		if (mask & 1u << i && !keys_has_secret(cli->key_dir, region->name))
			return error_set(error, ERR_CONFIGURATION,
			    "the secret of %s is not in %.150s; `godwit keys init` makes it on its host", region->name,
			    cli->key_dir);
		code = mask & 1u << i ? keys_check_secrets(cli->key_dir, region->name, error)
		                      : keys_load_public(cli->key_dir, region->name, key, &reason);
		if (code == ERR_NOT_FOUND)
			return error_set(error, ERR_CONFIGURATION,
			    "the public key of %s is not in %.120s; `godwit keys export` on its host, `godwit keys import` "
			    "here",
			    region->name, cli->key_dir);
		if (code && reason.text[0])
			return error_set(error, code, "%s", reason.text);
	}
	return code;
}

int hosts_keys_prepare(struct cli *cli, uint32_t mask, struct error_context *error)
{
	const bool are_made = keys_are_made_here(cli);
	int code = hosts_keys_look(cli, mask, error);
	if (!code)
		code = keys_make(cli->key_dir, KEY_NAME_CLIENT, error);
	for (uint32_t i = 0; !code && are_made && i < cli->topology.region_count; i++)
		code = keys_make(cli->key_dir, cli->topology.regions[i].name, error);
	return code;
}

/* On one of several hosts, the regions whose secret it has; otherwise all of the machine. */
uint32_t hosts_regions_held(const struct cli *cli, uint32_t local)
{
	uint32_t held = 0;
	if (keys_are_made_here(cli))
		return local;
	for (uint32_t i = 0; i < cli->topology.region_count; i++)
		if (local & 1u << i && keys_has_secret(cli->key_dir, cli->topology.regions[i].name))
			held |= 1u << i;
	return held;
}
