// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules/verdict.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>

static const char *const names[N_VERDICTS] = {
	[VERDICT_HELD] = "held",       [VERDICT_OWN] = "own",	    [VERDICT_PROBING] = "probing",
	[VERDICT_EXPOSED] = "exposed", [VERDICT_CLOSED] = "closed", [VERDICT_EXEMPT] = "exempt",
};

const char *verdict_name(enum verdict verdict)
{
	return names[verdict];
}

int verdict_parse(const char *name)
{
	int i;

	for (i = 0; i < N_VERDICTS; i++) {
		if (strcmp(name, names[i]) == 0)
			return i;
	}
	return -EINVAL;
}

/* Where nobody knows the window, a time above the rule's may be too late. */
static bool is_too_late(const struct rule *rule, uint32_t time_s)
{
	return rule->window_ms ? (uint64_t)time_s * 1000 >= rule->window_ms : time_s > rule->time_s;
}

enum verdict verdict_of(const struct rule *rule, int state, const struct hf_keepalive *now,
			unsigned unanswered)
{
	if (!rule->enforce)
		return VERDICT_EXEMPT;
	if (state == TCP_CLOSE_WAIT)
		return VERDICT_CLOSED;
	if (!now->on || is_too_late(rule, now->time_s))
		return VERDICT_EXPOSED;
	if (unanswered)
		return VERDICT_PROBING;
	if (now->time_s == rule->time_s && now->interval_s == rule->interval_s &&
	    now->probes == rule->probes)
		return VERDICT_HELD;
	return VERDICT_OWN;
}
