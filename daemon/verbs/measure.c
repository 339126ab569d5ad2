// SPDX-License-Identifier: GPL-2.0-or-later
/* holdfast measure: finds out after how long the path to there forgets an idle connection. */
#include "base/duration.h"
#include "base/util.h"
#include "conf/value.h"
#include "rules/explain.h"
#include "show/measure.h"
#include "verbs/command.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>

#define FROM_MIN_MS 2000
#define TO_MAX_MS   (7u * 86400u * 1000u)
#define FROM_MS	    60000
#define TO_MS	    7200000
#define RESOLUTION  5
#define CONNECTIONS 8

/* The control is probed so often, or with short gaps four times in the shortest. */
#define CONTROL_MS     15000
#define CONTROL_MIN_MS 1000

struct options {
	struct rounds_options rounds;
	bool json;
	char **command; /* ends in NULL */
};

static void usage(FILE *out)
{
	fputs("Usage: holdfast measure [OPTION...] ADDRESS:PORT -- COMMAND [ARGUMENT...]\n"
	      "Finds out after how long the path to there forgets an idle connection.\n\n"
	      "COMMAND connects to ADDRESS:PORT, logs in, and waits for its standard input, which\n"
	      "stays open and silent: mysql -h ADDRESS, psql -h ADDRESS, ssh ADDRESS cat,\n"
	      "nc ADDRESS PORT. It is run once for each connection. Each of those idles once, for\n"
	      "as long as it takes, and is then probed.\n\n"
	      "  --from DURATION       the shortest time to idle (default: 60s)\n"
	      "  --to DURATION         the longest (default: 2h)\n"
	      "  --resolution PERCENT  how exact it is to be (default: 5%)\n"
	      "  --connections N       at a time, and one more as a control (default: 8)\n"
	      "  -J, --json            as JSON\n"
	      "  -h, --help            print this and exit\n\n"
	      "Ctrl-C ends the commands, and says what is known so far.\n",
	      out);
}

static int set_number(const char *text, unsigned min, unsigned max, unsigned *value,
		      const char *option)
{
	struct error e = {0};

	if (!value_number(text, min, max, value, &e))
		return 0;
	error_prefix(&e, -EINVAL, "%s", option);
	command_failed(&e);
	return -EINVAL;
}

static int set_duration(const char *text, uint64_t *ms, const char *option)
{
	struct error e = {0};

	if (!value_duration(text, FROM_MIN_MS, TO_MAX_MS, false, ms, &e))
		return 0;
	error_prefix(&e, -EINVAL, "%s", option);
	command_failed(&e);
	return -EINVAL;
}

/* "5%", or the number alone. */
static int set_resolution(const char *text, unsigned *permille)
{
	char number[16];
	unsigned percent;
	size_t length = strcspn(text, "%");

	if (length >= sizeof(number) || (text[length] && text[length + 1]))
		length = 0;
	memcpy(number, text, length);
	number[length] = '\0';
	if (set_number(number, 1, 50, &percent, "--resolution"))
		return -EINVAL;
	*permille = percent * 10;
	return 0;
}

static int parse_options(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"from", required_argument, NULL, 'f'},
		{"to", required_argument, NULL, 't'},
		{"resolution", required_argument, NULL, 'r'},
		{"connections", required_argument, NULL, 'c'},
		{"json", no_argument, NULL, 'J'},
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	struct rounds_options *rounds = &options->rounds;
	int option, err = 0;

	*options = (struct options){.rounds = {.from_ms = FROM_MS,
					       .to_ms = TO_MS,
					       .resolution_permille = RESOLUTION * 10,
					       .connections = CONNECTIONS}};
	while (!err && (option = getopt_long(argc, argv, "+Jh", known, NULL)) != -1) {
		switch (option) {
		case 'f':
			err = set_duration(optarg, &rounds->from_ms, "--from");
			break;
		case 't':
			err = set_duration(optarg, &rounds->to_ms, "--to");
			break;
		case 'r':
			err = set_resolution(optarg, &rounds->resolution_permille);
			break;
		case 'c':
			err = set_number(optarg, 1, ROUNDS_CONNECTIONS_MAX, &rounds->connections,
					 "--connections");
			break;
		case 'J':
			options->json = true;
			break;
		case 'h':
			usage(stdout);
			return STATUS_OK;
		default:
			usage(stderr);
			return STATUS_USAGE;
		}
	}
	if (!err && rounds->from_ms >= rounds->to_ms) {
		fputs("holdfast: --from has to be below --to\n", stderr);
		err = -EINVAL;
	}
	rounds->control_ms = rounds->from_ms / 4;
	if (rounds->control_ms > CONTROL_MS)
		rounds->control_ms = CONTROL_MS;
	if (rounds->control_ms < CONTROL_MIN_MS)
		rounds->control_ms = CONTROL_MIN_MS;
	return err ? STATUS_USAGE : -1;
}

/* Where to, and with what. */
static int parse_arguments(int argc, char **argv, struct options *options, struct search_peer *peer)
{
	struct error e = {0};
	struct hf_flow flow;
	char examples[320];

	if (optind == argc) {
		usage(stderr);
		return STATUS_USAGE;
	}
	if (explain_parse(argv[optind], &flow, &e)) {
		command_failed(&e);
		return STATUS_USAGE;
	}
	peer->family = flow.family;
	peer->port = flow.peer_port;
	memcpy(peer->address, flow.peer, sizeof(peer->address));
	optind++;
	if (optind < argc && strcmp(argv[optind], "--") == 0)
		optind++;
	options->command = argv + optind;
	if (optind < argc)
		return -1;
	measure_examples(peer, examples, sizeof(examples));
	fprintf(stderr,
		"holdfast: there is no command (write one behind -- that connects to there, logs "
		"in, and then waits for its input: %s)\n",
		examples);
	return STATUS_USAGE;
}

/* What interrupts us, and the ends of our commands, as something to read. Negative errno. */
static int open_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Why it couldn't be measured; false: it could. */
static bool explain_failure(const struct measure *measure, int err, struct error *e)
{
	const struct rounds *rounds = &measure->rounds;
	char examples[320];

	measure_examples(&measure->world.peer, examples, sizeof(examples));
	if (err == -ESRCH || err == -ETIMEDOUT) {
		char said[sizeof(e->text)];

		snprintf(said, sizeof(said), "%s", e->text);
		error_set(
			e, EINVAL,
			"%.600s (write one that connects to there, logs in, and then waits for its "
			"input: %s)",
			said, examples);
	} else if (!err && measure->interrupted) {
		error_set(e, EINTR, "interrupted");
	} else if (!err && rounds->limit_ms && !rounds_found(rounds)) {
		error_set(
			e, EINVAL,
			"the server, or a proxy before it, closes connections that idle for %.0f s "
			"by itself, and keepalive doesn't keep it from that: MySQL's wait_timeout, "
			"a "
			"proxy's idle timeout, or the time to log in (a command that logs in: %s). "
			"The path can't be measured beyond that",
			(double)rounds->limit_ms / 1000, examples);
	} else {
		return err != 0;
	}
	return true;
}

static int show(const struct measure *measure, bool json, const char *why)
{
	struct error e = {0};

	if (!json)
		measure_show_result(measure);
	else if (measure_show_json(measure, why)) {
		error_set(&e, ENOMEM, "out of memory");
		return command_failed(&e);
	}
	return STATUS_OK;
}

int measure_main(const struct command *command, int argc, char **argv)
{
	struct measure_display display = {.terminal = isatty(STDOUT_FILENO) == 1};
	const struct measure_watch watch = measure_display_watch(&display);
	struct measure *measure = calloc(1, sizeof(*measure));
	struct options options;
	struct error e = {0};
	int status, err;
	bool failed;

	if (!measure)
		return command_failed(&e);
	status = parse_options(argc, argv, &options);
	if (status < 0)
		status = parse_arguments(argc, argv, &options, &measure->world.peer);
	if (status < 0 && !command_privileged())
		status = STATUS_BROKEN;
	if (status < 0 && (measure->signals = open_signals()) < 0) {
		error_set(&e, errno, "signals: %s", strerror(errno));
		status = command_failed(&e);
	}
	if (status >= 0) {
		free(measure);
		return status;
	}
	display.quiet = options.json;
	measure->watch = &watch;
	measure->world.argv = options.command;
	measure->world.pin_dir = command->pin_dir;
	measure->world.helper = (struct pidfd_helper)PIDFD_HELPER_INIT;
	err = measure_run(measure, &options.rounds, &e);
	failed = explain_failure(measure, err, &e);
	status = show(measure, options.json, failed ? e.text : NULL);
	if (failed)
		status = command_failed(&e);
	measure_free(measure);
	close(measure->signals);
	free(measure);
	return status;
}
