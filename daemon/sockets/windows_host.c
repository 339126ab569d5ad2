// SPDX-License-Identifier: GPL-2.0-or-later
/* What this host itself forgets bounds the times of rules that don't know their window. */
#include "base/duration.h"
#include "base/util.h"
#include "sockets/agers.h"
#include "sockets/learned.h"

#include <errno.h>
#include <inttypes.h>

/* The least time between two looks that ask. */
#define ASK_EVERY_MS (60u * 1000u)

#define WHERE_MAX 160

bool windows_asks_host(const struct windows *windows, uint64_t now_ms)
{
	return !windows->asked_ms || now_ms - windows->asked_ms >= ASK_EVERY_MS;
}

/* Says where the timeout is set. */
static void where(const struct host_window *host, char text[WHERE_MAX])
{
	if (host->by == HOST_IPVS)
		snprintf(text, WHERE_MAX, "ipvsadm --set in network namespace %" PRIu64,
			 host->netns);
	else
		snprintf(text, WHERE_MAX,
			 "net.netfilter.nf_conntrack_tcp_timeout_established in network namespace "
			 "%" PRIu64 ", or a ct timeout policy",
			 host->netns);
}

static void tell_time(const struct windows *windows, const struct rule *rule,
		      const struct host_window *host, uint16_t before_s)
{
	char text[WHERE_MAX];

	if (!host->window_ms) {
		log_notice(windows->log,
			   "rule %s: this host itself forgets its connections no more: keepalive "
			   "time is %u s now, and was %u s",
			   rule->name, rule->time_s, before_s);
		return;
	}
	where(host, text);
	log_notice(windows->log,
		   "rule %s: this host itself forgets a connection after %" PRIu64
		   " s (%s): keepalive time is %u s now, and was %u s",
		   rule->name, host->window_ms / 1000, text, rule->time_s, before_s);
}

static void tell_too_long(const struct windows *windows, const struct rule *rule,
			  const struct host_window *host)
{
	char said[DURATION_TEXT_MAX], text[WHERE_MAX];

	duration_format(rule->window_ms, said, sizeof(said));
	where(host, text);
	log_warning(windows->log,
		    "rule %s says window = %s, but this host itself forgets a connection after "
		    "%" PRIu64 " s (%s)",
		    rule->name, said, host->window_ms / 1000, text);
}

/* Draws the conclusions for one rule. Returns 0 or -ENOMEM. */
static int take(struct windows *windows, struct learned *learned, struct rule *rule,
		const struct host_sight *sight)
{
	uint16_t before_s = rule->time_s;

	if (!learned->host && !sight->shortest.window_ms)
		return 0;
	if (!learned->host)
		learned->host = calloc(1, sizeof(*learned->host));
	if (!learned->host)
		return -ENOMEM;
	host_window_take(learned->host, sight);
	windows_set_times(learned, rule);
	if (rule->time_s != before_s) {
		windows->changed = true;
		tell_time(windows, rule, learned->host, before_s);
	}
	if (rule->time_s > before_s && learned->window)
		learned->window->survives = 0; /* a gap of the longer time is yet to come */
	if (rule->window_ms && host_window_warns(learned->host, rule->window_ms))
		tell_too_long(windows, rule, learned->host);
	windows_keep(windows, learned);
	return 0;
}

/* Asks, and draws the conclusions. Returns as agers_ask() does. */
static int ask(struct windows *windows, struct config *config, struct error *e)
{
	_cleanup_free_ struct host_sight *sights = calloc(windows->now.n, sizeof(*sights));
	struct netns_list namespaces;
	size_t i;
	int ret;

	if (!sights)
		return error_set(e, ENOMEM, "out of memory");
	ret = netns_find(&windows->plane->pins, &namespaces, e);
	if (ret)
		return ret;
	ret = agers_ask(&windows->agers, &namespaces, sights, e);
	netns_list_free(&namespaces);
	for (i = 0; i < windows->now.n; i++) {
		if (sights[i].asked &&
		    take(windows, &windows->now.list[i], &config->rules[i], &sights[i]))
			return error_set(e, ENOMEM, "out of memory");
	}
	return ret;
}

void windows_ask_host(struct windows *windows, struct config *config, uint64_t now_ms)
{
	struct error e = {0};
	int asked = windows->agers.n ? ask(windows, config, &e) : 0;

	agers_clear(&windows->agers);
	if (!asked)
		return; /* none idles: the next look asks */
	if (asked < 0 && !windows->ask_failed)
		log_warning(windows->log,
			    "what this host itself forgets can't be found out everywhere: %s",
			    e.text);
	windows->ask_failed = asked < 0;
	windows->asked_ms = now_ms;
}
