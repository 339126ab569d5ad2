// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/connection_ends.h"

#include "base/address.h"
#include "base/clock.h"
#include "base/util.h"
#include "kernel/rule_counters.h"
#include "sockets/connection_end_quota.h"
#include "sockets/connection_end_text.h"
#include "sockets/idle_timeouts.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* A read that gets this many bytes shows that the ring buffer was full, and may have lost some. */
#define RING_NEARLY_FULL (HF_ENDS_BYTES - 16u * 1024u)

struct connection_ends {
	const struct log *log;
	const struct data_plane *plane;
	struct ring_buffer *ring;
	struct hf_ended *list; /* the ends of one read; owned */
	size_t n, room;
	struct idle_timeouts timeouts;
	struct connection_end_quota quota;
	uint64_t began_ns;    /* when it was created; CLOCK_BOOTTIME */
	size_t bytes;	      /* how many the current read got from the ring buffer */
	uint64_t untold;      /* ends that the ring buffer had no room for, when last logged */
	connection_end_fn fn; /* gets each one as it comes; NULL: nobody does */
	void *arg;
};

int connection_ends_take(struct connection_ends *ends, const void *record, size_t size)
{
	if (size < sizeof(*ends->list))
		return 0;
	if (array_grow(&ends->list, ends->n, &ends->room, sizeof(*ends->list)))
		return -ENOMEM;
	memcpy(&ends->list[ends->n++], record, sizeof(*ends->list));
	if (ends->fn)
		ends->fn(&ends->list[ends->n - 1], ends->arg);
	return 0;
}

static int gather(void *arg, void *data, size_t size)
{
	struct connection_ends *ends = arg;

	ends->bytes += size + BPF_RINGBUF_HDR_SZ;
	return connection_ends_take(ends, data, size);
}

struct connection_ends *connection_ends_new(const struct log *log)
{
	struct connection_ends *ends = calloc(1, sizeof(*ends));

	if (ends) {
		ends->log = log;
		ends->began_ns = clock_ns(CLOCK_BOOTTIME);
		connection_end_quota_init(&ends->quota, ends->began_ns / 1000000);
	}
	return ends;
}

void connection_ends_watch(struct connection_ends *ends, connection_end_fn fn, void *arg)
{
	ends->fn = fn;
	ends->arg = arg;
}

int connection_ends_open(struct connection_ends **out, const struct log *log,
			 const struct data_plane *plane, struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_ENDS, e);
	struct connection_ends *ends;

	if (map < 0)
		return map;
	ends = connection_ends_new(log);
	if (!ends)
		return error_set(e, ENOMEM, "out of memory");
	ends->plane = plane;
	ends->ring = ring_buffer__new(map, gather, ends, NULL);
	if (!ends->ring) {
		error_set(e, errno, "can't read %s: %s", PIN_ENDS, strerror(errno));
		free(ends);
		return -errno;
	}
	*out = ends;
	return 0;
}

void connection_ends_close(struct connection_ends *ends)
{
	if (!ends)
		return;
	ring_buffer__free(ends->ring);
	free(ends->list);
	idle_timeouts_free(&ends->timeouts);
	connection_end_quota_free(&ends->quota);
	free(ends);
}

int connection_ends_fd(const struct connection_ends *ends)
{
	return ring_buffer__epoll_fd(ends->ring);
}

static const char *rule_name(const struct config *config, uint64_t key)
{
	size_t i;

	for (i = 0; i < config->n_rules; i++) {
		if (rule_key(config->rules[i].name) == key)
			return config->rules[i].name;
	}
	return "(gone)";
}

/* Writes "python3[1234]", "the kernel", or "a process that has closed it since". */
static void name_owner(char *text, size_t size, const struct owners *owners,
		       const struct hf_ended *ended)
{
	const struct owner *owner;
	size_t n;

	owner = owners_of(owners, ended->cookie, ended->inode, &n);
	if (owner)
		snprintf(text, size, "%s[%d]", owner->command, (int)owner->pid);
	else
		snprintf(text, size, "%s",
			 ended->kernel ? "the kernel" : "a process that has closed it since");
}

static void tell(struct connection_ends *ends, const struct hf_ended *ended, const char *rule,
		 const struct owners *owners)
{
	char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX], owner[128], why[256], when[64];

	endpoint_format(local, sizeof(local), ended->family, ended->local, ended->local_port);
	endpoint_format(peer, sizeof(peer), ended->family, ended->peer, ended->peer_port);
	name_owner(owner, sizeof(owner), owners, ended);
	connection_end_text_cause(why, sizeof(why), ended);
	connection_end_text_age(when, sizeof(when), ended, clock_ns(CLOCK_BOOTTIME),
				ends->began_ns);
	log_notice(ends->log, "rule %s: %s to %s, %s: %s%s", rule, local, peer, owner, why, when);
	if (ended->cause == HF_END_SERVER && idle_timeouts_suggest(&ends->timeouts, ended))
		log_notice(ends->log,
			   "rule %s: %d connections to %s were closed by the server after about %u "
			   "s each: that may be its idle timeout, or that of a proxy (MySQL: "
			   "wait_timeout, PostgreSQL: idle_session_timeout); keepalive can't "
			   "extend it, let the pool recycle connections sooner",
			   rule, IDLE_TIMEOUT_CLOSES, peer, (ended->quiet_ms + 500) / 1000);
}

void connection_ends_tell(struct connection_ends *ends, const struct config *config,
			  const struct owners *owners)
{
	size_t i, untold;

	for (i = 0; i < ends->n; i++) {
		const struct hf_ended *ended = &ends->list[i];
		const char *rule = rule_name(config, ended->rule_key);

		switch (connection_end_quota_ask(&ends->quota, ended->rule_key, ended->netns,
						 clock_ns(CLOCK_BOOTTIME) / 1000000, &untold)) {
		case 0:
			log_notice(ends->log,
				   "rule %s, network namespace %" PRIu64
				   ": connections end faster than a log should be written: some "
				   "are only counted now (holdfast metrics)",
				   rule, (uint64_t)ended->netns);
			break;
		case 1:
			if (untold)
				log_notice(ends->log,
					   "rule %s, network namespace %" PRIu64
					   ": %zu more connections have ended meanwhile",
					   rule, (uint64_t)ended->netns, untold);
			tell(ends, ended, rule, owners);
			break;
		}
	}
	ends->n = 0;
}

/* Logs how many ends the ring buffer had no room for: the kernel only counts those. */
static void tell_overrun(struct connection_ends *ends, const struct config *config)
{
	struct rule_counters counters;
	struct hf_counters sum;
	uint64_t untold = 0;
	size_t i;

	if (!rule_counters_open(&counters, &ends->plane->pins, NULL)) {
		for (i = 0; i < config->n_rules; i++) {
			rule_counters_of(&counters, config->rules[i].name, &sum);
			untold += sum.untold;
		}
	}
	rule_counters_close(&counters);
	if (untold > ends->untold)
		log_warning(ends->log,
			    "%" PRIu64 " connections in all have ended faster than could be read: "
			    "they are counted, and have no line (holdfast_ends_untold_total)",
			    untold);
	if (untold)
		ends->untold = untold;
}

int connection_ends_read(struct connection_ends *ends, const struct config *config, struct error *e)
{
	struct owners owners = {0};
	int ret;

	ends->n = ends->bytes = 0;
	ret = ring_buffer__consume(ends->ring);
	if (ret < 0)
		error_set(e, -ret, "reading %s: %s", PIN_ENDS, strerror(-ret));
	/* One pass over open files finds all owners. If it fails, the lines name no process. */
	if (ends->n)
		owners_find(&ends->plane->pins, &owners, NULL);
	connection_ends_tell(ends, config, &owners);
	owners_free(&owners);
	if (ends->bytes >= RING_NEARLY_FULL)
		tell_overrun(ends, config);
	return ret < 0 ? ret : 0;
}
