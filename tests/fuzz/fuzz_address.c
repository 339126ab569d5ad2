// SPDX-License-Identifier: GPL-2.0-or-later
/* Fuzzes the argument ADDRESS[:PORT] of `holdfast explain`, and the explanation. */
#include "rules.h"

#include "rules/explain.h"
#include "rules/lpm.h"

#include <json-c/json.h>

static void check_explanation(const struct hf_flow *flow)
{
	const struct config *config = some_rules();
	struct explanation explanation;
	struct rule_entry *entries;
	const struct hf_rule *rule;
	struct json_object *object;
	struct error e = {0};
	enum hf_side side;
	struct lpm *lpm;
	char *text;
	size_t n, text_size;
	FILE *out = open_memstream(&text, &text_size);

	check(out && rules_compile(config, 1, &entries, &n, &e) == 0);
	lpm = lpm_new(entries, n);
	check(lpm);
	rule = lpm_match(lpm, flow, &side);
	check(explain(config, flow, rule ? rule->index : EXPLAIN_NONE, &explanation, &e) == 0);
	check(explanation.has_winner == (rule != NULL));
	explain_print(&explanation, out);
	check(fclose(out) == 0);
	check_printable(text, text_size);
	object = explain_to_json(&explanation);
	check(object && json_object_to_json_string(object));
	json_object_put(object);
	explanation_free(&explanation);
	lpm_free(lpm);
	free(entries);
	free(text);
}

void fuzz_address(const uint8_t *data, size_t size)
{
	char *text = to_string(data, size);
	struct error e = {0};
	struct hf_flow flow;

	if (explain_parse(text, &flow, &e) == 0) {
		check(flow.peer_port && (flow.family == 4 || flow.family == 6));
		check_explanation(&flow);
	} else {
		check(e.text[0]);
		check_printable(e.text, strlen(e.text));
	}
	free(text);
}
