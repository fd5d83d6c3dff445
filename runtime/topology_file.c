/* SPDX-License-Identifier: Apache-2.0
 *
 * libcyaml stops at the first mistake and knows lines only until then. So its schema takes every value as text and every field
 * as optional, and the same schema drives a walk over libyaml's document, which finds unknown, doubled and misshapen entries,
 * all of them, and gives each value's line to the checks that follow. */
#include "runtime/topology_file.h"

#include <cyaml/cyaml.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct topology_file {
	yaml_document_t document;
	struct raw_topology *raw;
};

#define TEXT(key, structure, member) CYAML_FIELD_STRING_PTR(key, CYAML_FLAG_OPTIONAL, structure, member, 0, 255)

static const cyaml_schema_value_t node_schema = {CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char *, 0, 255)};
static const cyaml_schema_field_t region_fields[] = {TEXT("name", struct raw_region, name), TEXT("id", struct raw_region, id),
    TEXT("datacenter", struct raw_region, datacenter),
    CYAML_FIELD_SEQUENCE(
        "nodes", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_region, nodes, &node_schema, 0, CYAML_UNLIMITED),
    TEXT("is_primary", struct raw_region, is_primary), TEXT("priority", struct raw_region, priority),
    TEXT("bind", struct raw_region, bind), CYAML_FIELD_END};
static const cyaml_schema_value_t region_schema = {CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_region, region_fields)};
static const cyaml_schema_field_t keyspace_fields[] = {TEXT("name", struct raw_keyspace, name),
    TEXT("id", struct raw_keyspace, id), TEXT("level", struct raw_keyspace, level),
    TEXT("strategy", struct raw_keyspace, strategy), TEXT("ack", struct raw_keyspace, ack), CYAML_FIELD_END};
static const cyaml_schema_value_t keyspace_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, struct raw_keyspace, keyspace_fields)};
static const cyaml_schema_field_t replication_fields[] = {TEXT("mode", struct raw_replication, mode),
    TEXT("compression", struct raw_replication, compression), TEXT("encryption", struct raw_replication, encryption),
    TEXT("max_lag_ms", struct raw_replication, max_lag_ms), TEXT("drain_factor", struct raw_replication, drain_factor),
    CYAML_FIELD_END};
static const cyaml_schema_field_t limits_fields[] = {
    TEXT("cross_region_timeout_ms", struct raw_limits, cross_region_timeout_ms),
    TEXT("max_clock_drift_ms", struct raw_limits, max_clock_drift_ms), TEXT("log_disk_mib", struct raw_limits, log_disk_mib),
    CYAML_FIELD_END};
static const cyaml_schema_field_t topology_fields[] = {TEXT("cluster", struct raw_topology, cluster),
    CYAML_FIELD_SEQUENCE(
        "regions", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_topology, regions, &region_schema, 0, CYAML_UNLIMITED),
    CYAML_FIELD_MAPPING("replication", CYAML_FLAG_OPTIONAL, struct raw_topology, replication, replication_fields),
    CYAML_FIELD_MAPPING("limits", CYAML_FLAG_OPTIONAL, struct raw_topology, limits, limits_fields),
    CYAML_FIELD_SEQUENCE("keyspaces", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct raw_topology, keyspaces,
        &keyspace_schema, 0, CYAML_UNLIMITED),
    CYAML_FIELD_END};
static const cyaml_schema_value_t topology_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct raw_topology, topology_fields)};

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
static bool document_walk(yaml_document_t *document, struct mistakes *mistakes)
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
	walk_value(&walk, root, &topology_schema, "topology");
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
	if (!document_parse(&file->document, bytes, size, mistakes)) {
		free(file);
		return NULL;
	}
	if (document_walk(&file->document, mistakes)) {
		struct capture capture = {0};
		cyaml_config_t configuration = cyaml_configuration(&capture);
		cyaml_err_t failure = cyaml_load_data(
		    (const uint8_t *)bytes, size, &configuration, &topology_schema, (cyaml_data_t **)&file->raw, NULL);
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
		cyaml_free(&configuration, &topology_schema, file->raw, 0);
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
