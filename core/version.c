/* SPDX-License-Identifier: Apache-2.0 */
#include "core/version.h"

uint32_t version_ahead(void)
{
	return 0;
}
