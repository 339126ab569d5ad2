// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/connection_end_text.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

#define SECOND_NS 1000000000u

/*
 * A line says when the end was if that is at least this long ago. The daemon reads ends at once,
 * except in a flood, when it pauses between reads.
 */
#define MOMENT_S 10u

static const char *plural(unsigned n)
{
	return n == 1 ? "" : "s";
}

void connection_end_text_cause(char *text, size_t size, const struct hf_ended *ended)
{
	double idle_s = ended->idle_ms / 1000.0, quiet_s = ended->quiet_ms / 1000.0;
	const char *peer = ended->side == HF_SIDE_SERVER ? "client" : "server";

	switch ((enum hf_end)ended->cause) {
	case HF_END_SERVER:
		snprintf(text, size,
			 "closed by the server%s after %.1f s without data from the application, "
			 "which had not closed it",
			 ended->reset ? " with a reset" : "", quiet_s);
		return;
	case HF_END_KEEPALIVE:
		snprintf(text, size,
			 "keepalive gave up: idle for %.1f s, %u probe%s unanswered; the %s or "
			 "the path to it is gone",
			 idle_s, ended->probes, plural(ended->probes), peer);
		return;
	case HF_END_USER_TIMEOUT:
		snprintf(text, size,
			 "TCP_USER_TIMEOUT (%u ms) ran out: nothing came from the %s for %.1f s, "
			 "%u probe%s unanswered",
			 ended->user_timeout_ms, peer, idle_s, ended->probes,
			 plural(ended->probes));
		return;
	case HF_END_PROBE_RESET:
		snprintf(text, size,
			 "reset in answer to a keepalive probe, idle for %.1f s: something on the "
			 "path has forgotten the connection and says so, or the %s has restarted",
			 idle_s, peer);
		return;
	case HF_END_RESET:
		snprintf(text, size,
			 "reset in answer to data, idle for %.1f s before: something on the path "
			 "has forgotten the connection and says so, or the %s has restarted",
			 idle_s, peer);
		return;
	case HF_END_RETRANSMIT:
		snprintf(text, size,
			 "data stayed unacknowledged: nothing came from the %s for %.1f s", peer,
			 idle_s);
		return;
	case HF_END_ABORTED:
		snprintf(text, size,
			 "ended from outside, as `ss -K` does it, idle for %.1f s; neither the "
			 "application nor the %s closed it",
			 idle_s, peer);
		return;
	case HF_END_APPLICATION:
	case HF_N_ENDS:
		break;
	}
	snprintf(text, size, "closed");
}

void connection_end_text_age(char *text, size_t size, const struct hf_ended *ended, uint64_t now_ns,
			     uint64_t began_ns)
{
	static const struct {
		uint64_t most, unit_s;
		const char *name;
	} units[] = {{120, 1, "s"}, {120 * 60, 60, "min"}, {48 * 3600, 3600, "h"}, {0, 86400, "d"}};
	uint64_t age_s = now_ns > ended->at_ns ? (now_ns - ended->at_ns) / SECOND_NS : 0;
	const char *absent = ended->at_ns < began_ns ? ", while no holdfastd ran" : "";
	size_t i = 0;

	text[0] = '\0';
	if (age_s < MOMENT_S && !*absent)
		return;
	while (units[i].most && age_s >= units[i].most)
		i++;
	snprintf(text, size, " (%" PRIu64 " %s ago%s)", age_s / units[i].unit_s, units[i].name,
		 absent);
}
