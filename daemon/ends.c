// SPDX-License-Identifier: GPL-2.0-or-later
#include "ends.h"

#include "address.h"
#include "counters.h"
#include "end_quota.h"
#include "end_text.h"
#include "util.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

/* So many closes by the server at the same idle time are no accident. */
#define SAME_TIME_HINT 3

/* No server's timeout is shorter. */
#define TIMEOUT_LEAST_MS 1000

/* How far apart, in ms, two of them may be and still count as the same: servers
 * look at their timers once a second. */
#define SAME_TIME_MS 1100

/* Of those that are closed at one moment, it has to be exact: a server that goes
 * away closes all it has, however long each was quiet. */
#define ONE_MOMENT_MS 200

/* Read at once, so much of the ring buffer shows that it was full. */
#define RING_NEARLY_FULL (HF_ENDS_BYTES - 16u * 1024u)

/* Of one rule: how long connections were quiet when the server closed them. */
struct server_closes {
	uint64_t rule_key;
	uint32_t quiet_ms;
	uint64_t at_ms; /* of the last one; CLOCK_BOOTTIME */
	unsigned n;
};

struct ends {
	const struct log *log;
	const struct plane *plane;
	struct ring_buffer *ring;
	struct hf_ended *list; /* gathered by one read; owned */
	size_t n, room;
	struct server_closes *closes; /* owned */
	size_t n_closes;
	struct end_quota quota;
	uint64_t began_ns; /* CLOCK_BOOTTIME */
	size_t bytes;	   /* that the read under way has found in the ring buffer */
	uint64_t untold;   /* ends that it had no room for, as was told last */
};

int ends_take(struct ends *ends, const void *record, size_t size)
{
	if (size < sizeof(*ends->list))
		return 0;
	if (array_grow(&ends->list, ends->n, &ends->room, sizeof(*ends->list)))
		return -ENOMEM;
	memcpy(&ends->list[ends->n++], record, sizeof(*ends->list));
	return 0;
}

static int gather(void *arg, void *data, size_t size)
{
	struct ends *ends = arg;

	ends->bytes += size + BPF_RINGBUF_HDR_SZ;
	return ends_take(ends, data, size);
}

static uint64_t boot_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

struct ends *ends_new(const struct log *log)
{
	struct ends *ends = calloc(1, sizeof(*ends));

	if (ends) {
		ends->log = log;
		ends->began_ns = boot_ns();
		end_quota_init(&ends->quota, ends->began_ns / 1000000);
	}
	return ends;
}

int ends_open(struct ends **out, const struct log *log, const struct plane *plane, struct error *e)
{
	_cleanup_close_ int map = pins_get(&plane->pins, PIN_ENDS, e);
	struct ends *ends;

	if (map < 0)
		return map;
	ends = ends_new(log);
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

void ends_close(struct ends *ends)
{
	if (!ends)
		return;
	ring_buffer__free(ends->ring);
	free(ends->list);
	free(ends->closes);
	end_quota_free(&ends->quota);
	free(ends);
}

int ends_fd(const struct ends *ends)
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

/* "python3[1234]", or "a process that has closed it since". */
static void name_owner(char *text, size_t size, const struct owners *owners,
		       const struct hf_ended *ended)
{
	const struct owner *owner;
	size_t n;

	owner = owners_of(owners, ended->cookie, ended->inode, &n);
	if (owner)
		snprintf(text, size, "%s[%d]", owner->command, (int)owner->pid);
	else
		snprintf(text, size, "a process that has closed it since");
}

static struct server_closes *closes_of(struct ends *ends, uint64_t key)
{
	struct server_closes *bigger;
	size_t i;

	for (i = 0; i < ends->n_closes; i++) {
		if (ends->closes[i].rule_key == key)
			return &ends->closes[i];
	}
	bigger = reallocarray(ends->closes, ends->n_closes + 1, sizeof(*bigger));
	if (!bigger)
		return NULL;
	ends->closes = bigger;
	bigger[ends->n_closes] = (struct server_closes){.rule_key = key};
	return &bigger[ends->n_closes++];
}

/* The server's wait_timeout, as it shows: several that were quiet for as long. */
static void hint(struct ends *ends, const struct hf_ended *ended, const char *rule)
{
	struct server_closes *closes = closes_of(ends, ended->rule_key);
	uint64_t at_ms = ended->at_ns / 1000000;
	uint32_t apart, most;

	if (!closes)
		return;
	apart = ended->quiet_ms > closes->quiet_ms ? ended->quiet_ms - closes->quiet_ms
						   : closes->quiet_ms - ended->quiet_ms;
	most = at_ms - closes->at_ms < ONE_MOMENT_MS ? ONE_MOMENT_MS : SAME_TIME_MS;
	closes->at_ms = at_ms;
	if (!closes->n || apart > most) {
		closes->quiet_ms = ended->quiet_ms;
		closes->n = 0;
	}
	if (++closes->n != SAME_TIME_HINT)
		return;
	log_notice(ends->log,
		   "rule %s: %d connections were closed by the server after %u s each: that is the "
		   "server's wait_timeout; keepalive can't extend it, let the pool recycle "
		   "connections sooner",
		   rule, SAME_TIME_HINT, (ended->quiet_ms + 500) / 1000);
}

static void tell(struct ends *ends, const struct hf_ended *ended, const char *rule,
		 const struct owners *owners)
{
	char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX], owner[128], why[256], when[64];

	endpoint_format(local, sizeof(local), ended->family, ended->local, ended->local_port);
	endpoint_format(peer, sizeof(peer), ended->family, ended->peer, ended->peer_port);
	name_owner(owner, sizeof(owner), owners, ended);
	end_text_cause(why, sizeof(why), ended);
	end_text_age(when, sizeof(when), ended, boot_ns(), ends->began_ns);
	log_notice(ends->log, "rule %s: %s to %s, %s: %s%s", rule, local, peer, owner, why, when);
	if (ended->cause == HF_END_SERVER && ended->quiet_ms >= TIMEOUT_LEAST_MS)
		hint(ends, ended, rule);
}

void ends_tell(struct ends *ends, const struct config *config, const struct owners *owners)
{
	size_t i, untold;

	for (i = 0; i < ends->n; i++) {
		const struct hf_ended *ended = &ends->list[i];
		const char *rule = rule_name(config, ended->rule_key);

		switch (end_quota_ask(&ends->quota, ended->rule_key, ended->netns,
				      boot_ns() / 1000000, &untold)) {
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

/* What came faster than we read: no more than counted. */
static void tell_overrun(struct ends *ends, const struct config *config)
{
	struct counters counters;
	struct hf_counters sum;
	uint64_t untold = 0;
	size_t i;

	if (!counters_open(&counters, ends->plane, NULL)) {
		for (i = 0; i < config->n_rules; i++) {
			counters_of(&counters, config->rules[i].name, &sum);
			untold += sum.untold;
		}
	}
	counters_close(&counters);
	if (untold > ends->untold)
		log_warning(ends->log,
			    "%" PRIu64 " connections in all have ended faster than could be read: "
			    "they are counted, and have no line (holdfast_ends_untold_total)",
			    untold);
	if (untold)
		ends->untold = untold;
}

int ends_read(struct ends *ends, const struct config *config, struct error *e)
{
	struct owners owners = {0};
	int ret;

	ends->n = ends->bytes = 0;
	ret = ring_buffer__consume(ends->ring);
	if (ret < 0)
		error_set(e, -ret, "reading %s: %s", PIN_ENDS, strerror(-ret));
	/* One pass over open files for all of them; without it they just go unnamed. */
	if (ends->n)
		owners_find(&ends->plane->pins, &owners, NULL);
	ends_tell(ends, config, &owners);
	owners_free(&owners);
	if (ends->bytes >= RING_NEARLY_FULL)
		tell_overrun(ends, config);
	return ret < 0 ? ret : 0;
}
