// SPDX-License-Identifier: GPL-2.0-or-later
#include "names/resolver.h"

#include "base/clock.h"
#include "base/util.h"
#include "names/host_names.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#define SECOND_US 1000000u

/* Changes are reported this long after the first one, together with those that follow meanwhile. */
#define REPORT_US (SECOND_US / 10)

/* A report that failed is made again after this time. */
#define REPORT_AGAIN_US (5 * (uint64_t)SECOND_US)

/* How often the files are checked for changes, unless a look-up does it sooner. */
#define FILES_US (60 * (uint64_t)SECOND_US)

/* How many addresses of a name a log line shows at most. */
#define SHOWN_MOST 16u

/* The least time between two looks at which addresses held connections go to. A test builds the
 * daemon with another value. */
#ifndef USED_REST_US
#define USED_REST_US (60 * (uint64_t)SECOND_US)
#endif

struct resolver {
	sd_event *event;
	sd_event_source *input; /* dns has answers */
	sd_event_source *timer; /* for look-ups, reports and expiry */
	const struct log *log;
	resolver_changed_fn changed;
	resolver_used_fn used;
	void *arg;
	struct dns *dns;
	struct name *names;
	uint64_t files_us;  /* when to check the files */
	uint64_t report_us; /* when to report changes; 0: there are none */
	uint64_t rest_us;   /* no address is removed until then */
};

/* Returns the addresses as "10.20.0.8, fd77::8", which the caller frees. NULL: out of memory. */
static char *addresses_text(const struct known *known)
{
	char address[PREFIX_TEXT_MAX];
	char *text = NULL;
	size_t size, i;
	FILE *out;

	out = open_memstream(&text, &size);
	if (!out)
		return NULL;
	for (i = 0; i < known->n && i < SHOWN_MOST; i++) {
		prefix_format(&known->list[i].address, address, sizeof(address));
		fprintf(out, "%s%s", i ? ", " : "", address);
	}
	if (i < known->n)
		fprintf(out, " and %zu more", known->n - i);
	return memstream_close(out, &text);
}

static void tell(const struct resolver *resolver, const struct name *name, unsigned news,
		 const char *why)
{
	_cleanup_free_ char *addresses = NULL;

	if (news & KNOWN_FAILS)
		log_warning(resolver->log, "looking up host name %s fails: %s (%s)", name->text,
			    why,
			    name->known.n ? "its last good addresses stay in force"
					  : "no connection matches it until there is an answer");
	else if (news & KNOWN_RECOVERED)
		log_info(resolver->log, "host name %s can be looked up again", name->text);
	if (news & KNOWN_FULL)
		log_warning(
			resolver->log,
			"host name %s has more than %u addresses: further ones don't count until "
			"others go",
			name->text, KNOWN_MOST);
	if (!(news & KNOWN_CHANGED))
		return;
	addresses = addresses_text(&name->known);
	log_info(resolver->log, "host name %s is %s now", name->text,
		 addresses ? addresses : "(out of memory)");
}

/* Takes the answers of a look-up that has ended. */
static void finish(struct resolver *resolver, struct name *name)
{
	bool cancelled = false;
	const char *why = NULL;
	uint32_t again_s;
	unsigned news;
	size_t i;

	name->looking = false;
	for (i = 0; i < RESOLVER_QUESTIONS; i++)
		cancelled |= name->lookup.answers.of[i].kind == ANSWER_MISSING;
	if (cancelled || !name->wanted) {
		answers_free(&name->lookup.answers);
		name->due_us = monotonic_us();
		return;
	}
	news = known_update(&name->known, &name->lookup.answers, monotonic_us(), &again_s, &why);
	tell(resolver, name, news, why);
	name->tried = true;
	name->due_us = monotonic_us() + again_s * (uint64_t)SECOND_US;
	if ((news & KNOWN_CHANGED) && !resolver->report_us)
		resolver->report_us = monotonic_us() + REPORT_US;
	log_debug(resolver->log, "host name %s: next look-up in %" PRIu32 " s", name->text,
		  again_s);
}

static void finish_all(struct resolver *resolver)
{
	struct name *name;

	for (name = resolver->names; name; name = name->next) {
		if (name->looking && !name->lookup.pending)
			finish(resolver, name);
	}
}

/* Starts the look-ups that are due, after checking the files for changes. */
static void start_due(struct resolver *resolver)
{
	uint64_t now = monotonic_us();
	bool look = now >= resolver->files_us;
	struct name *name;

	for (name = resolver->names; name && !look; name = name->next)
		look = name->wanted && !name->looking && now >= name->due_us;
	if (!look)
		return;
	resolver->files_us = now + FILES_US;
	if (dns_refresh(resolver->dns)) {
		finish_all(resolver);
		for (name = resolver->names; name; name = name->next)
			name->due_us = 0;
	}
	for (name = resolver->names; name; name = name->next) {
		if (!name->wanted || name->looking || now < name->due_us)
			continue;
		name->looking = true;
		dns_start(resolver->dns, name->text, &name->lookup);
	}
}

static void work(struct resolver *resolver)
{
	dns_process(resolver->dns);
	finish_all(resolver);
	start_due(resolver);
	finish_all(resolver);
	names_remove_unwanted(&resolver->names, monotonic_us());
}

/* Returns when to look for addresses that have expired; UINT64_MAX: never. */
static uint64_t expiry_us(const struct resolver *resolver)
{
	uint64_t due_us = UINT64_MAX, one_us;
	const struct name *name;

	for (name = resolver->names; name; name = name->next) {
		one_us = known_due_us(&name->known);
		if (name->wanted && one_us < due_us)
			due_us = one_us;
	}
	return due_us < resolver->rest_us ? resolver->rest_us : due_us;
}

struct using
{
	const struct resolver *resolver;
	struct address_set used; /* of the known addresses, those in use */
};

static int add_used(const struct prefix *peer, void *cookie)
{
	struct using *using = cookie;
	const struct name *name;

	for (name = using->resolver->names; name; name = name->next) {
		if (known_has(&name->known, peer))
			return address_set_add(&using->used, peer->family, peer->addr);
	}
	return 0;
}

/* Removes addresses that have expired. */
static void expire(struct resolver *resolver)
{
	struct using using = {.resolver = resolver};
	struct name *name;
	uint64_t now;
	size_t n;

	if (monotonic_us() < expiry_us(resolver))
		return;
	if (resolver->used(resolver->arg, add_used, &using) == 0) {
		now = monotonic_us();
		for (name = resolver->names; name; name = name->next) {
			n = name->wanted ? known_expire(&name->known, &using.used, now) : 0;
			if (!n)
				continue;
			log_info(resolver->log,
				 "host name %s: %zu address%s let go, which no answer has had "
				 "lately, and no held connection goes to",
				 name->text, n, n == 1 ? "" : "es");
			if (!resolver->report_us)
				resolver->report_us = now + REPORT_US;
		}
	}
	address_set_free(&using.used);
	resolver->rest_us = monotonic_us() + USED_REST_US;
}

static void arm(struct resolver *resolver)
{
	uint64_t next = resolver->files_us, timeout_ms;
	struct name *name;
	int err;

	for (name = resolver->names; name; name = name->next) {
		if (name->wanted && !name->looking && name->due_us < next)
			next = name->due_us;
	}
	if (resolver->report_us && resolver->report_us < next)
		next = resolver->report_us;
	if (expiry_us(resolver) < next)
		next = expiry_us(resolver);
	timeout_ms = dns_timeout_ms(resolver->dns);
	if (timeout_ms != UINT64_MAX && monotonic_us() + timeout_ms * 1000u < next)
		next = monotonic_us() + timeout_ms * 1000u;

	err = sd_event_source_set_time(resolver->timer, next);
	if (err >= 0)
		err = sd_event_source_set_enabled(
			resolver->timer, resolver->names ? SD_EVENT_ONESHOT : SD_EVENT_OFF);
	if (err < 0)
		log_error(resolver->log, "host names are not looked up any more: %s",
			  strerror(-err));
}

static void dispatch(struct resolver *resolver)
{
	work(resolver);
	expire(resolver);
	if (resolver->report_us && monotonic_us() >= resolver->report_us) {
		resolver->report_us = 0;
		if (resolver->changed(resolver->arg) && !resolver->report_us)
			resolver->report_us = monotonic_us() + REPORT_AGAIN_US;
	}
	arm(resolver);
}

static int on_input(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	(void)source;
	(void)fd;
	(void)revents;
	dispatch(arg);
	return 0;
}

static int on_timer(sd_event_source *source, uint64_t us, void *arg)
{
	(void)source;
	(void)us;
	dispatch(arg);
	return 0;
}

int resolver_new(struct resolver **resolver, sd_event *event, const struct log *log,
		 resolver_changed_fn changed, resolver_used_fn used, void *arg, struct error *e)
{
	struct resolver *new;
	int err;

	new = calloc(1, sizeof(*new));
	if (!new)
		return error_set(e, ENOMEM, "out of memory");
	new->event = sd_event_ref(event);
	new->log = log;
	new->changed = changed;
	new->used = used;
	new->arg = arg;
	err = dns_new(&new->dns, e);
	if (err) {
		resolver_free(new);
		return err;
	}
	err = sd_event_add_io(event, &new->input, dns_fd(new->dns), EPOLLIN, on_input, new);
	if (err >= 0)
		err = sd_event_add_time(event, &new->timer, CLOCK_MONOTONIC, 0, SECOND_US / 100,
					on_timer, new);
	if (err >= 0)
		err = sd_event_source_set_enabled(new->timer, SD_EVENT_OFF);
	if (err < 0) {
		resolver_free(new);
		return error_set(e, -err, "can't watch for answers of name servers: %s",
				 strerror(-err));
	}
	*resolver = new;
	return 0;
}

void resolver_free(struct resolver *resolver)
{
	if (!resolver)
		return;
	sd_event_source_disable_unref(resolver->input);
	sd_event_source_disable_unref(resolver->timer);
	sd_event_unref(resolver->event);
	/* Free dns before the names: it writes to those whose look-up is under way. */
	dns_free(resolver->dns);
	names_free(&resolver->names);
	free(resolver);
}

int resolver_set_names(struct resolver *resolver, const struct config *config, struct error *e)
{
	int err;

	err = names_set(&resolver->names, config, monotonic_us(), e);
	if (err)
		return err;
	resolver->report_us = monotonic_us() + REPORT_US;
	arm(resolver);
	return 0;
}

static size_t count_untried(const struct resolver *resolver)
{
	const struct name *name;
	size_t n = 0;

	for (name = resolver->names; name; name = name->next)
		n += name->wanted && !name->tried;
	return n;
}

void resolver_wait(struct resolver *resolver, unsigned ms)
{
	uint64_t end = monotonic_us() + ms * (uint64_t)1000, now, timeout_ms, wait_ms;
	struct pollfd input = {.fd = dns_fd(resolver->dns), .events = POLLIN};
	size_t left;

	for (;;) {
		work(resolver);
		left = count_untried(resolver);
		now = monotonic_us();
		if (!left || now >= end)
			break;
		wait_ms = (end - now) / 1000u + 1;
		timeout_ms = dns_timeout_ms(resolver->dns);
		poll(&input, 1, (int)(timeout_ms < wait_ms ? timeout_ms : wait_ms));
	}
	if (left)
		log_notice(resolver->log, "%zu host name%s no answer yet; going on without", left,
			   left == 1 ? " has" : "s have");
	resolver->report_us = 0;
	arm(resolver);
}

int resolver_fill(const struct resolver *resolver, struct config *config, struct error *e)
{
	return names_fill(resolver->names, config, e);
}
