/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/shell/ahead.h"

#include "core/version.h"

uint32_t ahead;

uint32_t version_ahead(void)
{
	return ahead;
}
