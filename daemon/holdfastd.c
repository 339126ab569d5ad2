// SPDX-License-Identifier: GPL-2.0-or-later
/* The daemon: starts, runs the event loop, and stops. */
#include "daemon.h"

#include "base/rlimits.h"
#include "base/standard_streams.h"
#include "base/util.h"
#include "conf/conf.h"
#include "host/environment.h"
#include "kernel/hook.h"
#include "kernel/privileges.h"
#include "sockets/release.h"
#include "sockets/support.h"
#include "startup.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>

#define EXIT_USAGE 2

/* The least number of descriptors: the daemon opens about forty maps, programs, links, sockets. */
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

/* Returns -1 to go on, or the status to exit with. */
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

/*
 * Checks that the limit of descriptors leaves some for namespaces. Without this check the start
 * would fail later, with a message that doesn't name the limit.
 */
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
	return watchdog_tick(arg);
}

#define NO_BPFFS                                                                                   \
	"no bpffs was mounted at /sys/fs/bpf, and one mounted by holdfastd ends with this mount "  \
	"namespace (a container's or a unit's)"
#define MOUNT_IT "mount one on the host (mount -t bpf bpf /sys/fs/bpf; systemd does so at boot)"

/* Whether all pins go when this daemon's container or unit ends. */
static bool pins_end_with_us(const struct daemon *daemon)
{
	return daemon->plane.pins.mounted_bpffs && environment_mounts_end();
}

/* Sets up what is needed before the rules can be put in force. Each step needs those before it. */
static int prepare(struct daemon *daemon, struct startup **startup, struct error *e)
{
	struct startup_options options = {
		.pin_dir = daemon->options.pin_dir,
		.cgroup = daemon->options.cgroup,
		.version = HOLDFAST_VERSION,
		.progress = {tick, &daemon->watchdog},
	};
	int err;

	err = environment_check_processes(e);
	if (!err)
		err = privileges_check(e);
	if (!err)
		err = check_limit(e);
	/* This comes before the first look at namespaces: one made in between would be missed. */
	if (!err)
		err = rtnl_open(&daemon->rtnl, e);
	if (err)
		return err;
	err = sd_event_new(&daemon->event);
	if (err >= 0)
		err = exporter_new(&daemon->exporter, daemon->event, &daemon->log, &daemon->plane);
	if (err < 0)
		return error_set(e, -err, "can't set up the event loop: %s", strerror(-err));
	daemon->windows = windows_new(&daemon->log, &daemon->plane);
	if (!daemon->windows)
		return error_set(e, ENOMEM, "out of memory");
	err = daemon_start_names(daemon, e);
	if (!err)
		err = startup_prepare(startup, &daemon->plane, &options, &daemon->config, e);
	if (!err && daemon->options.persist && pins_end_with_us(daemon))
		err = error_set(e, EOPNOTSUPP,
				NO_BPFFS
				", so that --persist would leave nothing attached: " MOUNT_IT);
	if (!err)
		err = connection_ends_open(&daemon->ends, &daemon->log, &daemon->plane, e);
	if (err)
		return err;
	err = daemon_add_sources(daemon);
	if (err < 0)
		return error_set(e, -err, "can't set up the event loop: %s", strerror(-err));
	daemon->reconcile = reconcile_new(&daemon->log, &daemon->plane);
	if (!daemon->reconcile)
		return error_set(e, ENOMEM, "out of memory");
	err = reconcile_set_rules(daemon->reconcile, &daemon->config, e);
	/* The rest of the start, and reloads, need no more than the privileges that are left. */
	return err ? err : privileges_drop(e);
}

static int start(struct daemon *daemon, struct error *e)
{
	struct startup *startup = NULL;
	bool takes_over;
	int err;

	err = prepare(daemon, &startup, e);
	takes_over = !err && startup_takes_over(startup);
	if (!err)
		err = startup_commit(startup, &daemon->config, e);
	startup_end(startup); /* after a failure this leaves everything as it was before */
	if (err)
		return err;
	if (takes_over)
		log_info(&daemon->log, "took over what an earlier holdfastd left in %s",
			 daemon->options.pin_dir);
	windows_commit(daemon->windows);
	if (windows_open(daemon->windows, e))
		log_warning(&daemon->log, "what rules learn of their paths is lost at the end: %s",
			    e->text);
	if (daemon_stats_open(&daemon->stats, &daemon->plane, e))
		log_warning(&daemon->log, "reloads and reconcile passes aren't counted: %s",
			    e->text);
	daemon_stats_count_start(&daemon->stats);
	daemon->tracepoint = pins_has(&daemon->plane.pins, PIN_ENDED);
	watchdog_enter(&daemon->watchdog, WATCHDOG_LOOKING);
	daemon_reconcile(daemon, true);
	daemon_arm_timer(daemon);
	exporter_set(daemon->exporter, daemon->config.textfile);
	return 0;
}

/*
 * Warns if another holdfast, with pins of its own, works on the same sockets: one on the host and
 * one in a container, for example, each with a bpffs of its own.
 */
static void warn_of_another(const struct daemon *daemon)
{
	struct hf_info info;
	uint32_t id;

	if (data_plane_get_info(&daemon->plane, &info, NULL))
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

/* Detaches and gives all sockets back. Returns an exit status. */
static int release(struct daemon *daemon)
{
	bool ours = strcmp(daemon->options.pin_dir, PINS_DEFAULT_DIR) == 0;
	struct error e = {0};
	size_t restored, left;
	int err;

	err = release_all(&daemon->plane, ours, &restored, &left, &e);
	if (err) {
		log_error(&daemon->log, "stopping: %s", e.text);
		exporter_leave(daemon->exporter);
		return EXIT_FAILURE;
	}
	exporter_stop(daemon->exporter);
	log_info(&daemon->log, "detached; %zu connection%s given back", restored,
		 restored == 1 ? "" : "s");
	if (left)
		log_warning(&daemon->log,
			    "%zu connection%s could not be reached and may keep the "
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
	sd_event_source_unref(daemon->listening);
	sd_event_source_unref(daemon->deaf);
	moved_sockets_free(&daemon->probing);
	known_ways_free(&daemon->ways);
	sd_event_unref(daemon->event);
	rtnl_close(daemon->rtnl);
	connection_ends_close(daemon->ends);
	windows_free(daemon->windows);
	exporter_free(daemon->exporter);
	daemon_stats_close(&daemon->stats);
	reconcile_free(daemon->reconcile);
	data_plane_close(&daemon->plane);
	config_free(&daemon->config);
}

static int run(struct daemon *daemon)
{
	char limits[SUPPORT_TEXT_MAX];
	struct error e = {0};
	int err, status;

	err = daemon_read_config(daemon, &daemon->config, &e);
	if (err == -EBADMSG) /* the errors have been logged */
		return EX_CONFIG;
	if (!err)
		err = start(daemon, &e);
	if (err) {
		log_error(&daemon->log, "can't start: %s", e.text);
		return err == -EOPNOTSUPP ? EX_UNAVAILABLE : EXIT_FAILURE;
	}
	warn_of_another(daemon);
	if (pins_end_with_us(daemon))
		log_warning(&daemon->log, NO_BPFFS
			    ": after a crash nothing would be left to take over, and nothing given "
			    "back: " MOUNT_IT);
	if (support_limits(&daemon->plane, limits))
		log_notice(&daemon->log, "%s", limits);
	/* A first pass that failed doesn't undo the start: the next one makes up for it, and new
	 * connections are held meanwhile. */
	log_info(&daemon->log,
		 daemon->stats.now.passed_ms
			 ? "ready: %zu rule%s in force"
			 : "ready: %zu rule%s in force; connections that were open before are not "
			   "held yet",
		 daemon->config.n_rules, daemon->config.n_rules == 1 ? "" : "s");
	malloc_trim(0); /* gives back what loading and reading the configuration took */
	watchdog_enter(&daemon->watchdog, WATCHDOG_RUNNING);
	watchdog_notify("READY=1\nSTATUS=%zu rule%s in force", daemon->config.n_rules,
			daemon->config.n_rules == 1 ? "" : "s");

	err = sd_event_loop(daemon->event);
	watchdog_enter(&daemon->watchdog, WATCHDOG_STOPPING);
	watchdog_notify("STOPPING=1");
	if (err < 0 && err != -ENOLINK) /* give_up() of attached.c, whose reason has been logged */
		log_error(&daemon->log, "the event loop broke: %s", strerror(-err));
	daemon_end_probes(daemon);
	/* A loop that broke wasn't told to stop: as after a crash, the next start takes over. */
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

/* Blocks signals from the beginning: one that comes during the start waits for the event loop. */
static void block_signals(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGHUP);
	sigaddset(&mask, SIGTERM);
	sigaddset(&mask, SIGINT);
	sigaddset(&mask, SIGUSR1);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	signal(SIGPIPE, SIG_IGN); /* the reader of our log may end first */
	signal(SIGXFSZ, SIG_IGN); /* a write beyond the limit then only fails */
}

/*
 * Has malloc() give large blocks back to the kernel as soon as they are freed. A pass over many
 * sockets allocates much and frees it again, and by default malloc() would keep up to 32 MiB of
 * that after the first pass.
 */
static void keep_little_memory(void)
{
	mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	mallopt(M_TRIM_THRESHOLD, 128 * 1024);
}

int main(int argc, char **argv)
{
	struct daemon daemon = {.plane = DATA_PLANE_INIT,
				.stats = DAEMON_STATS_MAP_INIT,
				.keeper = PROBE_KEEPER_INIT};
	int status;

	standard_streams_begin();
	status = parse_options(argc, argv, &daemon.options);
	if (status >= 0)
		return status;
	block_signals();
	rlimits_raise_files();
	keep_little_memory();
	setvbuf(stderr, NULL, _IOLBF, 0);
	log_init(&daemon.log, daemon.options.verbose);
	libbpf_set_print(daemon.options.verbose ? print_libbpf : NULL);
	watchdog_init(&daemon.watchdog);
	status = run(&daemon);
	free_daemon(&daemon);
	return status;
}
