// SPDX-License-Identifier: GPL-2.0-or-later
/* The daemon: one event loop around configuration, data plane and reconcile. */
#include "daemon.h"

#include "conf.h"
#include "hook.h"
#include "install.h"
#include "limits.h"
#include "place.h"
#include "privileges.h"
#include "streams.h"
#include "support.h"
#include "util.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#define EXIT_USAGE 2

/* Maps, programs, links, sockets: about forty. */
#define FILES_LEAST 64

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

/* Of descriptors, with some to spare for namespaces: what fails for want of them calls it names. */
static int check_limit(struct error *e)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= FILES_LEAST)
		return 0;
	return error_set(
		e, EMFILE,
		"Too few descriptors: %llu may be open, %d are needed at least (ulimit -n, "
		"LimitNOFILE=)",
		(unsigned long long)limit.rlim_cur, FILES_LEAST);
}

static int tick(void *arg)
{
	return alive_tick(arg);
}

/* What has to be there before the rules are in force, in the order in which it is needed. */
static int prepare(struct daemon *daemon, struct install **install, struct error *e)
{
	struct install_options options = {
		.pin_dir = daemon->options.pin_dir,
		.cgroup = daemon->options.cgroup,
		.version = HOLDFAST_VERSION,
		.progress = {tick, &daemon->alive},
	};
	int err;

	err = place_check_processes(e);
	if (!err)
		err = privileges_check(e);
	if (!err)
		err = check_limit(e);
	/* Before the first look at namespaces, so that none slips in between. */
	if (!err)
		err = rtnl_open(&daemon->rtnl, e);
	if (err)
		return err;
	err = sd_event_new(&daemon->event);
	if (err >= 0)
		err = exporter_new(&daemon->exporter, daemon->event, &daemon->log, &daemon->plane);
	if (err < 0)
		return error_set(e, -err, "can't set up the event loop: %s", strerror(-err));
	err = daemon_start_names(daemon, e);
	if (!err)
		err = install_prepare(install, &daemon->plane, &options, &daemon->config, e);
	if (!err)
		err = ends_open(&daemon->ends, &daemon->log, &daemon->plane, e);
	if (err)
		return err;
	err = daemon_add_sources(daemon);
	if (err < 0)
		return error_set(e, -err, "can't set up the event loop: %s", strerror(-err));
	daemon->reconcile = reconcile_new(&daemon->log, &daemon->plane);
	if (!daemon->reconcile)
		return error_set(e, ENOMEM, "out of memory");
	err = reconcile_set_rules(daemon->reconcile, &daemon->config, e);
	/* What follows does with what is left, as reloads will. */
	return err ? err : privileges_drop(e);
}

static int start(struct daemon *daemon, struct error *e)
{
	struct install *install = NULL;
	bool takes_over;
	int err;

	err = prepare(daemon, &install, e);
	takes_over = !err && install_takes_over(install);
	if (!err)
		err = install_commit(install, &daemon->config, e);
	install_end(install); /* where something has failed, all is as it was found */
	if (err)
		return err;
	if (takes_over)
		log_info(&daemon->log, "took over what an earlier holdfastd left in %s",
			 daemon->options.pin_dir);
	if (stats_open(&daemon->stats, &daemon->plane, e))
		log_warning(&daemon->log, "reloads and reconcile passes aren't counted: %s",
			    e->text);
	stats_count_start(&daemon->stats);
	daemon->tracepoint = pins_has(&daemon->plane.pins, PIN_ENDED);
	alive_enter(&daemon->alive, ALIVE_LOOKING);
	daemon_reconcile(daemon, true);
	daemon_arm_timer(daemon);
	exporter_set(daemon->exporter, daemon->config.textfile);
	return 0;
}

/* On a host and in a container of it, for example, each with a bpffs of its own. */
static void warn_of_another(const struct daemon *daemon)
{
	struct hf_info info;
	uint32_t id;

	if (plane_get_info(&daemon->plane, &info, NULL))
		return;
	id = hook_find_other(&daemon->plane.pins, PIN_SOCKOPS, info.cgroup);
	if (id)
		log_warning(
			&daemon->log,
			"another holdfast (program %u, bpftool cgroup tree shows it) is attached "
			"to the cgroup %s, above it or below it: each undoes what the other one "
			"sets, and takes it for the application's",
			id, info.cgroup);
}

/* Everything as it was before us. An exit status. */
static int release(struct daemon *daemon)
{
	bool ours = strcmp(daemon->options.pin_dir, PINS_DEFAULT_DIR) == 0;
	struct error e = {0};
	size_t restored, left;
	int err;

	exporter_remove(daemon->exporter);
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
	resolver_free(daemon->resolver);
	sd_event_source_unref(daemon->timer);
	sd_event_source_unref(daemon->settle);
	sd_event_source_unref(daemon->probed);
	sd_event_source_unref(daemon->ending);
	sd_event_source_unref(daemon->rest);
	moved_free(&daemon->probing);
	sd_event_unref(daemon->event);
	rtnl_close(daemon->rtnl);
	ends_close(daemon->ends);
	exporter_free(daemon->exporter);
	stats_close(&daemon->stats);
	reconcile_free(daemon->reconcile);
	plane_close(&daemon->plane);
	config_free(&daemon->config);
}

static int run(struct daemon *daemon)
{
	char limits[SUPPORT_TEXT_MAX];
	struct error e = {0};
	int err, status;

	err = daemon_read_config(daemon, &daemon->config, &e);
	if (err == -EBADMSG) /* and it has been told which */
		return EX_CONFIG;
	if (!err)
		err = start(daemon, &e);
	if (err) {
		log_error(&daemon->log, "can't start: %s", e.text);
		return EXIT_FAILURE;
	}
	warn_of_another(daemon);
	if (support_limits(&daemon->plane, limits))
		log_notice(&daemon->log, "%s", limits);
	log_info(&daemon->log, "ready: %zu rule%s in force", daemon->config.n_rules,
		 daemon->config.n_rules == 1 ? "" : "s");
	malloc_trim(0); /* what loading took, and reading the configuration */
	alive_enter(&daemon->alive, ALIVE_RUNNING);
	alive_notify("READY=1\nSTATUS=%zu rule%s in force", daemon->config.n_rules,
		     daemon->config.n_rules == 1 ? "" : "s");

	err = sd_event_loop(daemon->event);
	alive_enter(&daemon->alive, ALIVE_STOPPING);
	alive_notify("STOPPING=1");
	if (err < 0 && err != -ENOLINK) /* that has been told */
		log_error(&daemon->log, "the event loop broke: %s", strerror(-err));
	daemon_end_probes(daemon);
	/* A loop that breaks is no wish to stop: as after a crash, the next start takes over. */
	if (daemon->options.persist || err < 0) {
		exporter_leave(daemon->exporter);
		log_info(&daemon->log, "stopped; everything stays attached");
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
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN); /* who reads our log may go before us */
	signal(SIGXFSZ, SIG_IGN); /* a file that may not grow isn't written: no more than that */
}

/*
 * A pass over many sockets allocates much and frees it again. What is large goes
 * back to the kernel at once, and isn't kept for the next pass: by itself malloc()
 * would come to keep up to 32 MiB after the first one.
 */
static void keep_little_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

int main(int argc, char **argv)
{
	struct daemon daemon = {.plane = PLANE_INIT, .stats = STATS_MAP_INIT};
	int status;

	streams_begin();
	status = parse_options(argc, argv, &daemon.options);
	if (status >= 0)
		return status;
	block_signals();
	limits_raise_files();
	keep_little_memory();
	setvbuf(stderr, NULL, _IOLBF, 0);
	log_init(&daemon.log, daemon.options.verbose);
	libbpf_set_print(daemon.options.verbose ? print_libbpf : NULL);
	alive_init(&daemon.alive);
	status = run(&daemon);
	free_daemon(&daemon);
	return status;
}
