// SPDX-License-Identifier: GPL-2.0-or-later
#include "ends.h"

#include "address.h"
#include "util.h"

#include <bpf/libbpf.h>
#include <errno.h>
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

/* So many lines at once, and so many a second in the long run: the log is for others, too. */
#define LINES_AT_ONCE  2000
#define LINES_A_SECOND 100

/* Of one rule: how long connections were quiet when the server closed them. */
struct server_closes {
	uint64_t rule_key;
	uint32_t quiet_ms;
	uint64_t at_ms; /* CLOCK_MONOTONIC of the last one */
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
	unsigned lines;	   /* that may be written at the moment */
	uint64_t lines_ms; /* CLOCK_MONOTONIC of the last that was added to them */
	size_t untold;	   /* since the last line */
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
	return ends_take(arg, data, size);
}

struct ends *ends_new(const struct log *log)
{
	struct ends *ends = calloc(1, sizeof(*ends));

	if (ends) {
		ends->log = log;
		ends->lines = LINES_AT_ONCE;
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

static void explain_end(char *text, size_t size, const struct hf_ended *ended)
{
	double idle_s = ended->idle_ms / 1000.0, quiet_s = ended->quiet_ms / 1000.0;

	switch ((enum hf_end)ended->cause) {
	case HF_END_SERVER:
		snprintf(text, size,
			 "closed by the server%s after %.1f s without data from the application, "
			 "which had not closed it",
			 ended->reset ? " with a reset" : "", quiet_s);
		return;
	case HF_END_KEEPALIVE:
		snprintf(text, size,
			 "keepalive gave up: idle for %.1f s, %u probe%s unanswered; the peer or "
			 "the path to it is gone",
			 idle_s, ended->probes, ended->probes == 1 ? "" : "s");
		return;
	case HF_END_USER_TIMEOUT:
		snprintf(text, size,
			 "TCP_USER_TIMEOUT (%u ms) ran out: nothing came from the peer for %.1f s, "
			 "%u probe%s unanswered",
			 ended->user_timeout_ms, idle_s, ended->probes,
			 ended->probes == 1 ? "" : "s");
		return;
	case HF_END_PROBE_RESET:
		snprintf(text, size,
			 "reset in answer to a keepalive probe, idle for %.1f s: something on the "
			 "path has forgotten the connection and says so, or the peer has restarted",
			 idle_s);
		return;
	case HF_END_RESET:
		snprintf(text, size,
			 "reset in answer to data, idle for %.1f s before: something on the path "
			 "has "
			 "forgotten the connection and says so, or the peer has restarted",
			 idle_s);
		return;
	case HF_END_RETRANSMIT:
		snprintf(text, size,
			 "data stayed unacknowledged: nothing came from the peer for %.1f s",
			 idle_s);
		return;
	case HF_END_APPLICATION:
	case HF_N_ENDS:
		break;
	}
	snprintf(text, size, "closed");
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

static uint64_t monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The server's wait_timeout, as it shows: several that were quiet for as long. */
static void hint(struct ends *ends, const struct hf_ended *ended, const char *rule)
{
	struct server_closes *closes = closes_of(ends, ended->rule_key);
	uint64_t now_ms = monotonic_ms();
	uint32_t apart, most;

	if (!closes)
		return;
	apart = ended->quiet_ms > closes->quiet_ms ? ended->quiet_ms - closes->quiet_ms
						   : closes->quiet_ms - ended->quiet_ms;
	most = now_ms - closes->at_ms < ONE_MOMENT_MS ? ONE_MOMENT_MS : SAME_TIME_MS;
	closes->at_ms = now_ms;
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

static void tell(struct ends *ends, const struct hf_ended *ended, const struct config *config,
		 const struct owners *owners)
{
	char local[ENDPOINT_TEXT_MAX], peer[ENDPOINT_TEXT_MAX], owner[128], why[256];
	const char *rule = rule_name(config, ended->rule_key);

	endpoint_format(local, sizeof(local), ended->family, ended->local, ended->local_port);
	endpoint_format(peer, sizeof(peer), ended->family, ended->peer, ended->peer_port);
	name_owner(owner, sizeof(owner), owners, ended);
	explain_end(why, sizeof(why), ended);
	log_notice(ends->log, "rule %s: %s to %s, %s: %s", rule, local, peer, owner, why);
	if (ended->cause == HF_END_SERVER && ended->quiet_ms >= TIMEOUT_LEAST_MS)
		hint(ends, ended, rule);
}

/* Adds the lines that the time since the last look has brought. */
static void add_lines(struct ends *ends)
{
	uint64_t now_ms = monotonic_ms();
	uint64_t more = (now_ms - ends->lines_ms) * LINES_A_SECOND / 1000;

	if (!more)
		return;
	ends->lines_ms = now_ms;
	ends->lines =
		more < LINES_AT_ONCE - ends->lines ? ends->lines + (unsigned)more : LINES_AT_ONCE;
}

void ends_tell(struct ends *ends, const struct config *config, const struct owners *owners)
{
	size_t i;

	add_lines(ends);
	for (i = 0; i < ends->n && ends->lines; i++, ends->lines--) {
		if (ends->untold)
			log_notice(ends->log, "%zu more connections have ended meanwhile",
				   ends->untold);
		ends->untold = 0;
		tell(ends, &ends->list[i], config, owners);
	}
	if (i < ends->n && !ends->untold)
		log_notice(ends->log, "connections end faster than a log should be written: some "
				      "are only counted now (holdfast metrics)");
	ends->untold += ends->n - i;
	ends->n = 0;
}

int ends_read(struct ends *ends, const struct config *config, struct error *e)
{
	struct owners owners = {0};
	int ret;

	ends->n = 0;
	ret = ring_buffer__consume(ends->ring);
	if (ret < 0)
		error_set(e, -ret, "reading %s: %s", PIN_ENDS, strerror(-ret));
	/* One pass over open files for all of them; without it they just go unnamed. */
	if (ends->n)
		owners_find(&ends->plane->pins, &owners, NULL);
	ends_tell(ends, config, &owners);
	owners_free(&owners);
	return ret < 0 ? ret : 0;
}
