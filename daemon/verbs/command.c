// SPDX-License-Identifier: GPL-2.0-or-later
#include "verbs/command.h"

#include "host/environment.h"
#include "verbs/advice.h"

#include <errno.h>
#include <getopt.h>
#include <linux/capability.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Asks the kernel by capget(2): a library isn't worth it for this one question. */
bool command_privileged(void)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {0};
	const uint32_t needed = 1u << CAP_SYS_ADMIN | 1u << CAP_NET_ADMIN;

	if (syscall(SYS_capget, &header, data) == 0 && (data[0].effective & needed) == needed)
		return true;
	fputs("holdfast: no permission: run it as root, or with CAP_SYS_ADMIN and CAP_NET_ADMIN\n",
	      stderr);
	return false;
}

int command_failed(const struct error *e)
{
	fprintf(stderr, "holdfast: %s\n", e->text[0] ? e->text : "out of memory");
	return STATUS_BROKEN;
}

int command_no_arguments(int argc, char **argv, const char *usage)
{
	static const struct option known[] = {
		{"help", no_argument, NULL, 'h'},
		{0},
	};
	int option = getopt_long(argc, argv, "h", known, NULL);

	if (option == 'h') {
		fputs(usage, stdout);
		return STATUS_OK;
	}
	if (option != -1 || optind < argc) {
		fputs(usage, stderr);
		return STATUS_USAGE;
	}
	return -1;
}

void command_say_what_is_hidden(void)
{
	struct error e = {0};

	if (environment_check_processes(&e))
		fprintf(stderr, "holdfast: some sockets may be missing: %s\n", e.text);
}

int command_open(const struct command *command, const char *or_else, struct data_plane *plane)
{
	struct advice advice;
	struct error e = {0};
	int err;

	if (!command_privileged())
		return STATUS_BROKEN;
	err = data_plane_open(plane, command->pin_dir, &e);
	if (err == -ENOENT) {
		advice_find(command->pin_dir, &advice);
		fprintf(stderr, "holdfast: nothing is attached (%s): %s%s\n", e.text, advice.text,
			or_else ? or_else : "");
		return STATUS_NOT_ATTACHED;
	}
	return err ? command_failed(&e) : STATUS_OK;
}

void command_say_daemon_gone(void)
{
	fputs("holdfast: the daemon is gone; the kernel goes on holding connections, but nobody "
	      "reconciles (start it, and it takes over)\n",
	      stderr);
}

int command_not_attached(const struct command *command, pid_t daemon, const char *or_else)
{
	const char *what = daemon ? "restart" : "start";

	fprintf(stderr,
		"holdfast: nothing is attached: new connections are not held; %s the daemon", what);
	if (strcmp(command->pin_dir, PINS_DEFAULT_DIR) == 0)
		fprintf(stderr, " (systemctl %s holdfast)", what);
	fprintf(stderr, "%s\n", or_else ? or_else : "");
	return STATUS_NOT_ATTACHED;
}
