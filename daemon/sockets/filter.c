// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/filter.h"

#include "base/text.h"
#include "bpf/match.h"
#include "conf/value.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int add(struct filter *filter, const struct config *config, const char *word,
	       struct error *e)
{
	char shown[256];
	int verdict, err;

	if (config_find_rule(config, word)) {
		filter->rules[filter->n_rules++] = word;
		return 0;
	}
	verdict = verdict_parse(word);
	if (verdict >= 0) {
		filter->verdicts |= 1u << verdict;
		return 0;
	}
	err = value_prefix(word, &filter->peers[filter->n_peers], e);
	if (!err) {
		filter->n_peers++;
		return 0;
	}
	if (strpbrk(word, "./:")) /* meant as an address, and e says what is wrong with it */
		return err;
	text_escape(shown, sizeof(shown), word, strlen(word));
	return error_set(e, EINVAL, "'%s' is no rule's name, address, prefix or verdict", shown);
}

int filter_init(struct filter *filter, const struct config *config, int argc, char **argv,
		struct error *e)
{
	int i, err = 0;

	*filter = (struct filter){0};
	filter->rules = calloc((size_t)argc + 1, sizeof(*filter->rules));
	filter->peers = calloc((size_t)argc + 1, sizeof(*filter->peers));
	if (!filter->rules || !filter->peers)
		err = error_set(e, ENOMEM, "out of memory");
	for (i = 0; !err && i < argc; i++)
		err = add(filter, config, argv[i], e);
	if (err)
		filter_free(filter);
	return err;
}

void filter_free(struct filter *filter)
{
	free(filter->rules);
	free(filter->peers);
	*filter = (struct filter){0};
}

bool filter_takes(const struct filter *filter, const struct snapshot_socket *socket)
{
	bool rule = !filter->n_rules, peer = !filter->n_peers;
	struct hf_flow flow = {.family = socket->diag.family};
	size_t i;

	if (filter->verdicts && !(filter->verdicts & 1u << socket->verdict))
		return false;
	for (i = 0; !rule && i < filter->n_rules; i++)
		rule = strcmp(filter->rules[i], socket->rule->name) == 0;
	memcpy(flow.peer, socket->diag.peer, sizeof(flow.peer));
	hf_flow_unmap(&flow);
	for (i = 0; !peer && i < filter->n_peers; i++)
		peer = prefix_contains(&filter->peers[i], flow.family, flow.peer);
	return rule && peer;
}
