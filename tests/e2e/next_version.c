/* SPDX-License-Identifier: Apache-2.0
 *
 * The build after this one, as far as versions go: linked into the programs of tests/e2e/next in the place of core/version.c.
 */
#include "core/version.h"

uint32_t version_ahead(void)
{
	return 1;
}
