/* SPDX-License-Identifier: Apache-2.0
 *
 * libcyaml stops at the first mistake and knows lines only until then. So its schema takes every value as text and every field
 * as optional, and the same schema drives a walk over libyaml's document, which finds unknown, doubled and misshapen entries,
 * all of them, and gives each value's line to the checks that follow. */
#include "runtime/topology_file.h"

#include <assert.h>
#include <cyaml/cyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

/* libcyaml's schema, made of the options' rows. */
struct schema {
	cyaml_schema_field_t fields[SECTIONS][SECTION_OPTIONS_MAX + 1];
	cyaml_schema_value_t entries[SECTIONS], root;
};
struct topology_file {
	yaml_document_t document;
	struct raw_topology *raw;
	struct schema schema;
};

static const cyaml_schema_value_t list_entry = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, 255)};

static void schema_option(cyaml_schema_field_t *field, const struct topology_option *option, uint32_t place, size_t base)
{
	const cyaml_schema_field_t list = CYAML_FIELD_SEQUENCE(
	    "", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_section, list, &list_entry, 0, CYAML_UNLIMITED);
	const cyaml_schema_field_t text = {
	    .value = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, char *, 0, 255)},
	    .data_offset = (uint32_t)(offsetof(struct raw_section, text) + place * sizeof(char *))};
	*field = option->type == TOPOLOGY_LIST ? list : text;
	field->key = option->key;
	field->data_offset += (uint32_t)base;
	field->count_offset += (uint32_t)base;
}

/* The file itself has the other sections behind its own options. */
static void schema_sections(struct schema *schema, cyaml_schema_field_t *field)
{
	const cyaml_schema_field_t sections[] = {
	    CYAML_FIELD_SEQUENCE("regions", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_topology, regions,
	        &schema->entries[SECTION_REGION], 0, CYAML_UNLIMITED),
	    CYAML_FIELD_MAPPING(
	        "replication", CYAML_FLAG_OPTIONAL, struct raw_topology, replication, schema->fields[SECTION_REPLICATION]),
	    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct raw_topology, limits, schema->fields[SECTION_LIMITS]),
	    CYAML_FIELD_SEQUENCE("keyspaces", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_topology, keyspaces,
	        &schema->entries[SECTION_KEYSPACE], 0, CYAML_UNLIMITED),
	    CYAML_FIELD_END};
	memcpy(field, sections, sizeof sections);
}

static void schema_make(struct schema *schema)
{
	const cyaml_schema_field_t end = CYAML_FIELD_END;
	for (uint32_t s = 0; s < SECTIONS; s++) {
		uint32_t places[SECTION_OPTIONS_MAX], count = topology_section_options((enum topology_section)s, places);
		size_t base = s == SECTION_TOPOLOGY ? offsetof(struct raw_topology, own) : 0;
		for (uint32_t i = 0; i < count; i++)
			schema_option(&schema->fields[s][i], &topology_options[places[i]], i, base);
		schema->fields[s][count] = end;
		schema->entries[s] =
		    (cyaml_schema_value_t){CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_section, schema->fields[s])};
		if (s == SECTION_TOPOLOGY)
			schema_sections(schema, &schema->fields[s][count]);
	}
	schema->root = (cyaml_schema_value_t){
	    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_topology, schema->fields[SECTION_TOPOLOGY])};
}

const char *raw_text(const struct raw_section *raw, enum topology_section section, const char *key)
{
	uint32_t places[SECTION_OPTIONS_MAX], count = topology_section_options(section, places);
	for (uint32_t i = 0; i < count; i++)
		if (strcmp(topology_options[places[i]].key, key) == 0)
			return raw->text[i];
	assert(false && "an option without a row");
	return NULL;
}

void mistake_add(struct mistakes *mistakes, uint32_t line, const char *format, ...)
{
	if (mistakes->count < MISTAKES_MAX) {
		struct mistake *mistake = &mistakes->list[mistakes->count];
		va_list arguments;
		va_start(arguments, format);
		vsnprintf(mistake->text, sizeof mistake->text, format, arguments);
		va_end(arguments);
		mistake->line = line;
	}
	mistakes->count++;
}

static uint32_t node_line(const yaml_node_t *node)
{
	return (uint32_t)node->start_mark.line + 1;
}

struct walk {
	yaml_document_t *document;
	struct mistakes *mistakes;
	uint8_t *seen;     /* by node: an alias leads to the same node again */
	bool is_misshapen; /* so that libcyaml would refuse it */
};

static const yaml_node_t *walk_node(struct walk *walk, yaml_node_item_t item)
{
	const yaml_node_t *node = yaml_document_get_node(walk->document, item);
	if (walk->seen[item]++) {
		mistake_add(walk->mistakes, node_line(node), "anchors and aliases are not supported");
		walk->is_misshapen = true;
		return NULL;
	}
	return node;
}

static void walk_value(struct walk *walk, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *name);

static const cyaml_schema_field_t *field_find(const cyaml_schema_field_t *fields, const char *key)
{
	for (; fields->key; fields++)
		if (strcmp(fields->key, key) == 0)
			return fields;
	return NULL;
}

static void walk_mapping(struct walk *walk, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *name)
{
	const yaml_node_pair_t *first = node->data.mapping.pairs.start;
	for (const yaml_node_pair_t *pair = first; pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *key = walk_node(walk, pair->key);
		if (!key)
			continue;
		const char *text = key->type == YAML_SCALAR_NODE ? (const char *)key->data.scalar.value : "?";
		const cyaml_schema_field_t *field = field_find(schema->mapping.fields, text);
		if (!field) {
			mistake_add(walk->mistakes, node_line(key), "%s: unknown key '%.60s'", name, text);
			walk->is_misshapen |= key->type != YAML_SCALAR_NODE;
			continue;
		}
		for (const yaml_node_pair_t *earlier = first; earlier < pair; earlier++) {
			const yaml_node_t *other = yaml_document_get_node(walk->document, earlier->key);
			if (other->type != YAML_SCALAR_NODE || strcmp((const char *)other->data.scalar.value, text) != 0)
				continue;
			mistake_add(walk->mistakes, node_line(key), "%s: '%s' is given twice (first on line %u)", name, text,
			    node_line(other));
			walk->is_misshapen = true;
			break;
		}
		const yaml_node_t *value = walk_node(walk, pair->value);
		if (value)
			walk_value(walk, value, &field->value, field->key);
	}
}

static void walk_value(struct walk *walk, const yaml_node_t *node, const cyaml_schema_value_t *schema, const char *name)
{
	static const char *const wanted[] = {"one value", "a list", "a mapping of keys to values"};
	yaml_node_type_t type = schema->type == CYAML_MAPPING    ? YAML_MAPPING_NODE
	                        : schema->type == CYAML_SEQUENCE ? YAML_SEQUENCE_NODE
	                                                         : YAML_SCALAR_NODE;
	if (node->type != type) {
		mistake_add(walk->mistakes, node_line(node), "%s: must be %s", name,
		    wanted[type == YAML_SCALAR_NODE     ? 0
		           : type == YAML_SEQUENCE_NODE ? 1
		                                        : 2]);
		walk->is_misshapen = true;
	} else if (type == YAML_MAPPING_NODE) {
		walk_mapping(walk, node, schema, name);
	} else if (type == YAML_SEQUENCE_NODE) {
		for (const yaml_node_item_t *i = node->data.sequence.items.start; i < node->data.sequence.items.top; i++) {
			const yaml_node_t *entry = walk_node(walk, *i);
			if (entry)
				walk_value(walk, entry, schema->sequence.entry, name);
		}
	} else if (node->data.scalar.length > 255 || memchr(node->data.scalar.value, 0, node->data.scalar.length)) {
		mistake_add(walk->mistakes, node_line(node), "%s: longer than 255 bytes, or with a zero byte", name);
		walk->is_misshapen = true;
	}
}

struct capture {
	char text[160];
};

static void capture_log(cyaml_log_t level, void *self, const char *format, va_list arguments)
{
	struct capture *capture = self;
	if (level < CYAML_LOG_ERROR || capture->text[0])
		return;
	vsnprintf(capture->text, sizeof capture->text, format, arguments);
	capture->text[strcspn(capture->text, "\n")] = 0;
}

static cyaml_config_t cyaml_configuration(struct capture *capture)
{
	return (cyaml_config_t){.log_fn = capture ? capture_log : NULL,
	    .log_ctx = capture,
	    .mem_fn = cyaml_mem,
	    .log_level = CYAML_LOG_ERROR,
	    .flags = CYAML_CFG_IGNORE_UNKNOWN_KEYS | CYAML_CFG_NO_ALIAS};
}

static void parse_mistake(const yaml_parser_t *parser, struct mistakes *mistakes)
{
	mistake_add(mistakes, (uint32_t)parser->problem_mark.line + 1, "not YAML: %s%s%s",
	    parser->problem ? parser->problem : "cannot be read", parser->context ? ", " : "",
	    parser->context ? parser->context : "");
}

/* A parser stops behind the first document: a second one would be passed over without a word. */
static void document_ends(yaml_parser_t *parser, struct mistakes *mistakes)
{
	yaml_document_t second;
	if (!yaml_parser_load(parser, &second)) {
		parse_mistake(parser, mistakes);
		return;
	}
	if (yaml_document_get_root_node(&second))
		mistake_add(mistakes, (uint32_t)second.start_mark.line + 1,
		    "a second document begins here; a topology is one document");
	yaml_document_delete(&second);
}

static bool document_parse(yaml_document_t *document, const char *bytes, size_t size, struct mistakes *mistakes)
{
	yaml_parser_t parser;
	if (!yaml_parser_initialize(&parser)) {
		mistake_add(mistakes, 1, "out of memory");
		return false;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)bytes, size);
	bool parsed = yaml_parser_load(&parser, document);
	if (!parsed)
		parse_mistake(&parser, mistakes);
	else
		document_ends(&parser, mistakes);
	yaml_parser_delete(&parser);
	return parsed;
}

/* True when libcyaml can be expected to take it. */
static bool document_walk(yaml_document_t *document, const cyaml_schema_value_t *schema, struct mistakes *mistakes)
{
	const yaml_node_t *root = yaml_document_get_root_node(document);
	if (!root) {
		mistake_add(mistakes, 1, "the file is empty");
		return false;
	}
	struct walk walk = {.document = document, .mistakes = mistakes};
	walk.seen = calloc((size_t)(document->nodes.top - document->nodes.start) + 1, 1);
	if (!walk.seen) {
		mistake_add(mistakes, 1, "out of memory");
		return false;
	}
	walk.seen[1] = 1; /* the root: an alias to it would be a cycle */
	walk_value(&walk, root, schema, "topology");
	free(walk.seen);
	return !walk.is_misshapen;
}

struct topology_file *topology_file_parse(const char *bytes, size_t size, struct mistakes *mistakes)
{
	struct topology_file *file = calloc(1, sizeof *file);
	if (!file) {
		mistake_add(mistakes, 1, "out of memory");
		return NULL;
	}
	schema_make(&file->schema);
	if (!document_parse(&file->document, bytes, size, mistakes)) {
		free(file);
		return NULL;
	}
	if (document_walk(&file->document, &file->schema.root, mistakes)) {
		struct capture capture = {0};
		cyaml_config_t configuration = cyaml_configuration(&capture);
		cyaml_err_t failure = cyaml_load_data(
		    (const uint8_t *)bytes, size, &configuration, &file->schema.root, (cyaml_data_t **)&file->raw, NULL);
		if (failure == CYAML_OK)
			return file;
		mistake_add(mistakes, 1, "%s", capture.text[0] ? capture.text : cyaml_strerror(failure));
		file->raw = NULL;
	}
	topology_file_free(file);
	return NULL;
}

void topology_file_free(struct topology_file *file)
{
	if (!file)
		return;
	cyaml_config_t configuration = cyaml_configuration(NULL);
	if (file->raw)
		cyaml_free(&configuration, &file->schema.root, file->raw, 0);
	yaml_document_delete(&file->document);
	free(file);
}

const struct raw_topology *topology_file_raw(const struct topology_file *file)
{
	return file->raw;
}

static const yaml_node_t *mapping_get(yaml_document_t *document, const yaml_node_t *node, const char *key)
{
	if (!node || node->type != YAML_MAPPING_NODE)
		return NULL;
	for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
		const yaml_node_t *found = yaml_document_get_node(document, pair->key);
		if (found->type == YAML_SCALAR_NODE && strcmp((const char *)found->data.scalar.value, key) == 0)
			return yaml_document_get_node(document, pair->value);
	}
	return NULL;
}

uint32_t topology_file_line(const struct topology_file *file, const char *section, int index, const char *key)
{
	/* libyaml's look-ups take the document without const, and do not change it. */
	yaml_document_t *document = (yaml_document_t *)(uintptr_t)&file->document;
	const yaml_node_t *best = yaml_document_get_root_node(document);
	const yaml_node_t *next = mapping_get(document, best, section);
	if (next)
		best = next;
	if (next && index >= 0) {
		const yaml_node_item_t *start = next->data.sequence.items.start;
		next = next->type == YAML_SEQUENCE_NODE && start + index < next->data.sequence.items.top
		           ? yaml_document_get_node(document, start[index])
		           : NULL;
		if (next)
			best = next;
	}
	if (next && key) {
		next = mapping_get(document, next, key);
		if (next)
			best = next;
	}
	return node_line(best);
}
