// SPDX-License-Identifier: GPL-2.0-or-later
/* The daemon: one event loop around configuration, data plane and reconcile. */
#include "conf.h"
#include "ends.h"
#include "hook.h"
#include "loader.h"
#include "log.h"
#include "path.h"
#include "pins.h"
#include "probe.h"
#include "reconcile.h"
#include "rtnl.h"
#include "util.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <time.h>

#define EXIT_USAGE 2

/* A burst of events is answered once: when it has been quiet for so long, but at the
 * latest so long after its first. */
#define SETTLE_US      (100u * 1000u)
#define SETTLE_MOST_US (1000u * 1000u)

/* After this long a probe has been sent on every socket that was to be probed. */
#define PROBED_US (1500u * 1000u)

struct options {
	const char *config;
	const char *cgroup;
	const char *pin_dir;
	bool persist;
	bool verbose;
};

struct daemon {
	struct options options;
	struct log log;
	struct config config;
	struct plane plane;
	struct reconcile *reconcile;
	struct rtnl *rtnl;
	struct ends *ends;
	sd_event *event;
	sd_event_source *timer;	 /* the slow one: everything, each `reconcile` */
	sd_event_source *settle; /* the quick one, after rtnetlink events */
	int pending;		 /* enum rtnl_event, what the quick one waits to answer */
	uint64_t pending_us;	 /* since when */
	sd_event_source *probed; /* puts the keepalive time back after a probe */
	uint64_t *probing;	 /* cookies of the sockets that are being probed; owned */
	size_t n_probing;
};

static void usage(FILE *out)
{
	fputs("Usage: holdfastd [OPTION...]\n"
	      "Keeps idle TCP connections alive: applies keepalive rules to matching sockets.\n\n"
	      "  --config FILE   read only this file (default: " CONF_DEFAULT_FILE ",\n"
	      "                  then " CONF_DEFAULT_DROPINS "/*.conf)\n"
	      "  --cgroup DIR    only sockets of this cgroup v2 directory and below\n"
	      "  --pin-dir DIR   keep kernel state here (default: " PINS_DEFAULT_DIR ")\n"
	      "  --persist       leave everything attached when stopped\n"
	      "  --verbose       say more\n"
	      "  --version       print the version and exit\n"
	      "  --help          print this and exit\n",
	      out);
}

/* -1: go on; else exit with it. */
static int parse_options(int argc, char **argv, struct options *options)
{
	enum { CONFIG = 256, CGROUP, PIN_DIR, PERSIST, VERBOSE, VERSION_, HELP };
	static const struct option known[] = {
		{"config", required_argument, NULL, CONFIG},
		{"cgroup", required_argument, NULL, CGROUP},
		{"pin-dir", required_argument, NULL, PIN_DIR},
		{"persist", no_argument, NULL, PERSIST},
		{"verbose", no_argument, NULL, VERBOSE},
		{"version", no_argument, NULL, VERSION_},
		{"help", no_argument, NULL, HELP},
		{0},
	};
	int option;

	*options = (struct options){.pin_dir = PINS_DEFAULT_DIR};
	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case CONFIG:
			options->config = optarg;
			break;
		case CGROUP:
			options->cgroup = optarg;
			break;
		case PIN_DIR:
			options->pin_dir = optarg;
			break;
		case PERSIST:
			options->persist = true;
			break;
		case VERBOSE:
			options->verbose = true;
			break;
		case VERSION_:
			puts("holdfastd " HOLDFAST_VERSION);
			return EXIT_SUCCESS;
		case HELP:
			usage(stdout);
			return EXIT_SUCCESS;
		default:
			usage(stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "holdfastd: takes no arguments, but was given '%s'\n",
			argv[optind]);
		usage(stderr);
		return EXIT_USAGE;
	}
	return -1;
}

/* 0, -EBADMSG where there are errors, -ENOMEM. Every fault is told. */
static int read_config(const struct daemon *daemon, struct config *config)
{
	struct conf_messages messages = {0};
	size_t i;
	int err;

	err = conf_load(daemon->options.config, config, &messages);
	for (i = 0; i < messages.n; i++) {
		_cleanup_free_ char *line = conf_message_format(&messages.list[i]);

		log_line(&daemon->log,
			 messages.list[i].warning ? LOG_LEVEL_WARNING : LOG_LEVEL_ERROR, "%s",
			 line ? line : "out of memory");
	}
	if (err && !messages.n)
		log_error(&daemon->log, "reading the configuration: %s", strerror(-err));
	conf_messages_free(&messages);
	return err;
}

static uint64_t monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static void reconcile(struct daemon *daemon, bool all)
{
	struct reconcile_result result;
	struct error e = {0};
	uint64_t start = monotonic_us();
	int err;

	err = all ? reconcile_all(daemon->reconcile, &result, &e)
		  : reconcile_unseen(daemon->reconcile, &result, &e);
	if (err)
		log_warning(&daemon->log, "reconcile is incomplete: %s", e.text);
	log_debug(&daemon->log, "reconcile: %zu network namespaces in %" PRIu64 " us",
		  result.namespaces, monotonic_us() - start);
}

static void arm_timer(struct daemon *daemon)
{
	uint64_t period = (uint64_t)daemon->config.reconcile_s * 1000000u;

	sd_event_source_set_time_relative(daemon->timer, period);
	sd_event_source_set_enabled(daemon->timer, SD_EVENT_ONESHOT);
}

static int on_timer(sd_event_source *source, uint64_t us, void *arg)
{
	struct daemon *daemon = arg;

	(void)source;
	(void)us;
	reconcile(daemon, true);
	arm_timer(daemon);
	return 0;
}

/* The rule's keepalive time back on what was probed. */
static void end_probes(struct daemon *daemon)
{
	struct netns_list namespaces;
	struct error e = {0};
	int err;

	if (!daemon->probing)
		return;
	err = netns_find(&daemon->plane.pins, &namespaces, &e);
	if (!err) {
		err = probe_end(&daemon->plane, &namespaces, daemon->probing, daemon->n_probing,
				&e);
		netns_list_free(&namespaces);
	}
	if (err) /* the next reconcile pass does it */
		log_warning(&daemon->log, "after probing: %s", e.text);
	free(daemon->probing);
	daemon->probing = NULL;
	daemon->n_probing = 0;
}

static int on_probed(sd_event_source *source, uint64_t us, void *arg)
{
	(void)source;
	(void)us;
	end_probes(arg);
	return 0;
}

/* Held sockets whose path has moved are probed at once. */
static void probe_moved(struct daemon *daemon)
{
	struct netns_list namespaces;
	const struct rtnl_change *changes;
	struct error e = {0};
	size_t n_changes;
	int err;

	end_probes(daemon);
	changes = rtnl_changes(daemon->rtnl, &n_changes);
	err = netns_find(&daemon->plane.pins, &namespaces, &e);
	if (!err) {
		err = path_moved(&daemon->plane, &namespaces, changes, n_changes, &daemon->probing,
				 &daemon->n_probing, &e);
		if (!err && daemon->n_probing) {
			log_info(&daemon->log,
				 "the path of %zu held connection%s has moved: probing",
				 daemon->n_probing, daemon->n_probing == 1 ? "" : "s");
			err = probe_begin(&daemon->plane, &namespaces, daemon->probing,
					  daemon->n_probing, &e);
			sd_event_source_set_time_relative(daemon->probed, PROBED_US);
			sd_event_source_set_enabled(daemon->probed, SD_EVENT_ONESHOT);
		}
		netns_list_free(&namespaces);
	}
	if (err)
		log_warning(&daemon->log, "probing after a change of routes: %s", e.text);
}

static int on_settle(sd_event_source *source, uint64_t us, void *arg)
{
	struct daemon *daemon = arg;
	int pending = daemon->pending;

	(void)source;
	(void)us;
	daemon->pending = 0;
	if (pending & (RTNL_NAMESPACE | RTNL_OVERRUN))
		reconcile(daemon, pending & RTNL_OVERRUN);
	if (pending & RTNL_PATH)
		probe_moved(daemon);
	rtnl_forget(daemon->rtnl);
	return 0;
}

static int on_rtnl(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct daemon *daemon = arg;
	struct error e = {0};
	uint64_t now_us = monotonic_us();
	int events;

	(void)source;
	(void)fd;
	(void)revents;
	events = rtnl_read(daemon->rtnl, &e);
	if (events < 0) {
		log_warning(&daemon->log, "%s", e.text);
		events = RTNL_OVERRUN;
	}
	if (!events)
		return 0;
	if (!daemon->pending)
		daemon->pending_us = now_us;
	daemon->pending |= events;
	if (now_us - daemon->pending_us < SETTLE_MOST_US) {
		sd_event_source_set_time_relative(daemon->settle, SETTLE_US);
		sd_event_source_set_enabled(daemon->settle, SD_EVENT_ONESHOT);
	}
	return 0;
}

static int on_ends(sd_event_source *source, int fd, uint32_t revents, void *arg)
{
	struct daemon *daemon = arg;
	struct error e = {0};

	(void)source;
	(void)fd;
	(void)revents;
	if (ends_read(daemon->ends, &daemon->config, &e))
		log_warning(&daemon->log, "%s", e.text);
	return 0;
}

/* New rules in one step, or everything as it was. */
static int reload(struct daemon *daemon, struct error *e)
{
	struct hook_target target;
	struct config config;
	struct hf_info info;
	struct error ignored;
	int err;

	err = read_config(daemon, &config);
	if (err)
		return error_set(e, -err, "the configuration has errors");
	err = plane_get_info(&daemon->plane, &info, e);
	target = (struct hook_target){info.cgroup, info.cgroup_id};
	if (!err)
		err = hook_set_guard(&daemon->plane.pins, &config, &target, e);
	if (!err)
		err = reconcile_set_rules(daemon->reconcile, &config, e);
	if (!err)
		err = plane_put_rules(&daemon->plane, &config, info.generation + 1, e);
	if (err) {
		reconcile_set_rules(daemon->reconcile, &daemon->config, &ignored);
		hook_set_guard(&daemon->plane.pins, &daemon->config, &target, &ignored);
		config_free(&config);
		return err;
	}
	config_free(&daemon->config);
	daemon->config = config;
	reconcile(daemon, true);
	arm_timer(daemon);
	return 0;
}

/* How the reload went, where `holdfast reload` looks for it. */
static void publish_outcome(const struct daemon *daemon, uint64_t started_us, int err, char *lines)
{
	struct plane_text text = {.number = started_us, .status = err, .text = lines};
	struct error e = {0};

	if (plane_put_text(&daemon->plane, PIN_RELOAD, &text, &e))
		log_warning(&daemon->log, "holdfast reload won't learn how it went: %s", e.text);
}

static int on_reload(sd_event_source *source, const struct signalfd_siginfo *info, void *arg)
{
	struct daemon *daemon = arg;
	uint64_t started_us = monotonic_us();
	_cleanup_free_ char *lines = NULL;
	struct error e = {0};
	size_t size;
	int err;

	(void)source;
	(void)info;
	sd_notifyf(false, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, started_us);
	daemon->log.copy = open_memstream(&lines, &size);
	err = reload(daemon, &e);
	if (err)
		log_error(&daemon->log, "not reloaded, the old rules stay in force: %s", e.text);
	else
		log_info(&daemon->log, "reloaded: %zu rule%s in force", daemon->config.n_rules,
			 daemon->config.n_rules == 1 ? "" : "s");
	if (daemon->log.copy)
		fclose(daemon->log.copy);
	daemon->log.copy = NULL;
	if (lines)
		publish_outcome(daemon, started_us, err, lines);
	sd_notify(false, "READY=1");
	return 0;
}

static int add_sources(struct daemon *daemon)
{
	int err;

	err = sd_event_new(&daemon->event);
	if (err >= 0)
		err = sd_event_add_signal(daemon->event, NULL, SIGHUP, on_reload, daemon);
	if (err >= 0) /* no handler: the loop ends */
		err = sd_event_add_signal(daemon->event, NULL, SIGTERM, NULL, NULL);
	if (err >= 0)
		err = sd_event_add_signal(daemon->event, NULL, SIGINT, NULL, NULL);
	if (err >= 0)
		err = sd_event_add_io(daemon->event, NULL, rtnl_fd(daemon->rtnl), EPOLLIN, on_rtnl,
				      daemon);
	if (err >= 0)
		err = sd_event_add_io(daemon->event, NULL, ends_fd(daemon->ends), EPOLLIN, on_ends,
				      daemon);
	if (err >= 0)
		err = sd_event_add_time_relative(daemon->event, &daemon->timer, CLOCK_MONOTONIC, 0,
						 0, on_timer, daemon);
	if (err >= 0)
		err = sd_event_add_time_relative(daemon->event, &daemon->settle, CLOCK_MONOTONIC, 0,
						 1000, on_settle, daemon);
	if (err >= 0)
		err = sd_event_add_time_relative(daemon->event, &daemon->probed, CLOCK_MONOTONIC, 0,
						 1000, on_probed, daemon);
	if (err >= 0)
		err = sd_event_source_set_enabled(daemon->probed, SD_EVENT_OFF);
	if (err >= 0)
		err = sd_event_source_set_enabled(daemon->settle, SD_EVENT_OFF);
	if (err >= 0)
		err = sd_event_set_watchdog(daemon->event, true);
	if (err < 0)
		return err;
	arm_timer(daemon);
	return 0;
}

static int start(struct daemon *daemon, struct error *e)
{
	struct loader_options options = {
		.pin_dir = daemon->options.pin_dir,
		.cgroup = daemon->options.cgroup,
		.version = HOLDFAST_VERSION,
	};
	bool took_over;
	int err;

	/* Before the first look at namespaces, so that none slips in between. */
	err = rtnl_open(&daemon->rtnl, e);
	if (err)
		return err;
	err = loader_start(&daemon->plane, &options, &daemon->config, &took_over, e);
	if (err)
		return err;
	if (took_over)
		log_info(&daemon->log, "took over what an earlier holdfastd left in %s",
			 options.pin_dir);
	daemon->reconcile = reconcile_new(&daemon->log, &daemon->plane);
	if (!daemon->reconcile)
		return error_set(e, ENOMEM, "out of memory");
	err = reconcile_set_rules(daemon->reconcile, &daemon->config, e);
	if (err)
		return err;
	err = ends_open(&daemon->ends, &daemon->log, &daemon->plane, e);
	if (err)
		return err;
	err = add_sources(daemon);
	if (err < 0)
		return error_set(e, -err, "can't set up the event loop: %s", strerror(-err));
	reconcile(daemon, true);
	return 0;
}

/* Everything as it was before us. An exit status. */
static int release(struct daemon *daemon)
{
	bool ours = strcmp(daemon->options.pin_dir, PINS_DEFAULT_DIR) == 0;
	struct error e = {0};
	size_t restored, left;
	int err;

	err = plane_release(&daemon->plane, ours, &restored, &left, &e);
	if (err) {
		log_error(&daemon->log, "stopping: %s", e.text);
		return EXIT_FAILURE;
	}
	log_info(&daemon->log, "detached; %zu connection%s given back", restored,
		 restored == 1 ? "" : "s");
	if (left)
		log_warning(&daemon->log,
			    "%zu connection%s could not be reached and keep the "
			    "rules' values",
			    left, left == 1 ? "" : "s");
	return EXIT_SUCCESS;
}

static void free_daemon(struct daemon *daemon)
{
	sd_event_source_unref(daemon->timer);
	sd_event_source_unref(daemon->settle);
	sd_event_source_unref(daemon->probed);
	free(daemon->probing);
	sd_event_unref(daemon->event);
	rtnl_close(daemon->rtnl);
	ends_close(daemon->ends);
	reconcile_free(daemon->reconcile);
	plane_close(&daemon->plane);
	config_free(&daemon->config);
}

static int run(struct daemon *daemon)
{
	struct error e = {0};
	int err, status;

	err = read_config(daemon, &daemon->config);
	if (err)
		return err == -EBADMSG ? EX_CONFIG : EXIT_FAILURE;
	err = start(daemon, &e);
	if (err) {
		log_error(&daemon->log, "can't start: %s", e.text);
		if (daemon->reconcile)
			release(daemon);
		return EXIT_FAILURE;
	}
	log_info(&daemon->log, "ready: %zu rule%s in force", daemon->config.n_rules,
		 daemon->config.n_rules == 1 ? "" : "s");
	sd_notifyf(false, "READY=1\nSTATUS=%zu rules in force", daemon->config.n_rules);

	err = sd_event_loop(daemon->event);
	sd_notify(false, "STOPPING=1");
	if (err < 0)
		log_error(&daemon->log, "the event loop broke: %s", strerror(-err));
	end_probes(daemon);
	if (daemon->options.persist) {
		log_info(&daemon->log, "stopped; everything stays attached (--persist)");
		status = EXIT_SUCCESS;
	} else {
		status = release(daemon);
	}
	return err < 0 ? EXIT_FAILURE : status;
}

static int print_libbpf(enum libbpf_print_level level, const char *format, va_list args)
{
	return level == LIBBPF_DEBUG ? 0 : vfprintf(stderr, format, args);
}

/* From the first moment on: a signal that comes while we start waits for the loop. */
static void block_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigprocmask(SIG_BLOCK, &mask, NULL);
}

int main(int argc, char **argv)
{
	struct daemon daemon = {.plane = PLANE_INIT};
	int status;

	status = parse_options(argc, argv, &daemon.options);
	if (status >= 0)
		return status;
	block_signals();
	setvbuf(stderr, NULL, _IOLBF, 0);
	log_init(&daemon.log, daemon.options.verbose);
	libbpf_set_print(daemon.options.verbose ? print_libbpf : NULL);
	status = run(&daemon);
	free_daemon(&daemon);
	return status;
}
