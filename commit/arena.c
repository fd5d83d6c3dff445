/* SPDX-License-Identifier: Apache-2.0
 *
 * Buddies (Knowlton, 1965): blocks of 256 bytes times a power of two, split and joined. Bodies of transactions and values of
 * reads live here, so that a step takes no memory from the system. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "commit/state.h"

struct free_block {
	uint32_t next, previous;
};

static struct free_block *block_at(struct arena *arena, uint32_t block)
{
	return (struct free_block *)(void *)(arena->bytes + (uint64_t)block * ARENA_BLOCK);
}

static void free_push(struct arena *arena, uint32_t block, uint32_t order)
{
	struct free_block *free_block = block_at(arena, block);
	free_block->next = arena->free[order];
	free_block->previous = NOBODY;
	if (free_block->next != NOBODY)
		block_at(arena, free_block->next)->previous = block;
	arena->free[order] = block;
	arena->orders[block] = (uint8_t)((order + 1) | 0x80);
}

static void free_remove(struct arena *arena, uint32_t block, uint32_t order)
{
	struct free_block *free_block = block_at(arena, block);
	if (free_block->next != NOBODY)
		block_at(arena, free_block->next)->previous = free_block->previous;
	if (free_block->previous != NOBODY)
		block_at(arena, free_block->previous)->next = free_block->next;
	else
		arena->free[order] = free_block->next;
	arena->orders[block] = 0;
}

void *pages_take(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return pages == MAP_FAILED ? NULL : pages;
}

void pages_give(void *pages, size_t size)
{
	if (pages)
		munmap(pages, size);
}

void arena_deinit(struct arena *arena)
{
	pages_give(arena->bytes, arena->size);
	free(arena->orders);
}

int arena_init(struct arena *arena, uint64_t size)
{
	arena->size = size;
	arena->bytes = pages_take(size);
	arena->orders = calloc(size / ARENA_BLOCK, 1);
	if (!arena->bytes || !arena->orders)
		return ERR_NO_MEMORY;
	for (uint32_t i = 0; i < sizeof arena->free / sizeof *arena->free; i++)
		arena->free[i] = NOBODY;
	free_push(arena, 0, (uint32_t)__builtin_ctzll(size / ARENA_BLOCK));
	return 0;
}

void *arena_take(struct arena *arena, size_t size)
{
	uint32_t order = 0, largest = (uint32_t)__builtin_ctzll(arena->size / ARENA_BLOCK);
	while (order <= largest && (size_t)ARENA_BLOCK << order < size)
		order++;
	uint32_t from = order;
	while (from <= largest && arena->free[from] == NOBODY)
		from++;
	if (from > largest)
		return NULL;
	uint32_t block = arena->free[from];
	free_remove(arena, block, from);
	while (from > order) {
		from--;
		free_push(arena, block + (1u << from), from);
	}
	arena->orders[block] = (uint8_t)(order + 1);
	arena->used += (uint64_t)ARENA_BLOCK << order;
	return arena->bytes + (uint64_t)block * ARENA_BLOCK;
}

void arena_give(struct arena *arena, void *memory)
{
	uint32_t block = (uint32_t)((uint64_t)((uint8_t *)memory - arena->bytes) / ARENA_BLOCK);
	assert(arena->orders[block] && !(arena->orders[block] & 0x80));
	uint32_t order = arena->orders[block] - 1u, largest = (uint32_t)__builtin_ctzll(arena->size / ARENA_BLOCK);
	arena->used -= (uint64_t)ARENA_BLOCK << order;
	arena->orders[block] = 0;
	while (order < largest) {
		uint32_t buddy = block ^ (1u << order);
		if (arena->orders[buddy] != ((order + 1) | 0x80))
			break;
		free_remove(arena, buddy, order);
		block &= ~(1u << order);
		order++;
	}
	free_push(arena, block, order);
}
