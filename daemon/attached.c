// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Checks that everything is still attached: a privileged process can detach a link by force, or
 * remove its pin.
 */
#include "daemon.h"

#include "base/util.h"
#include "kernel/cgroup.h"
#include "kernel/hook.h"

#include <errno.h>

/* Ends the daemon as a crash would, so that the service manager starts it again. */
static void give_up(struct daemon *daemon)
{
	sd_event_exit(daemon->event, -ENOLINK);
}

/*
 * Returns whether the sockops program is attached, and if not ends the daemon. Without the program
 * no new connection is held, and the daemon can't attach it again: loading it took privileges that
 * the daemon has given up.
 */
static bool check_sockops(struct daemon *daemon, const struct hf_info *info)
{
	const struct pins *pins = &daemon->plane.pins;
	uint64_t id;

	if (hook_attached(pins, PIN_SOCKOPS, NULL) != 0)
		return true;
	if (!pins_has(pins, PIN_SOCKOPS))
		log_error(&daemon->log,
			  "new connections aren't held any more: what was pinned in %s has been "
			  "removed",
			  pins->sub);
	else if (cgroup_id(info->cgroup, &id, NULL) < 0 || id != info->cgroup_id)
		log_error(&daemon->log,
			  "new connections aren't held any more: the cgroup %s has been removed",
			  info->cgroup);
	else
		log_error(&daemon->log,
			  "new connections aren't held any more: someone has detached the program "
			  "from the cgroup %s",
			  info->cgroup);
	give_up(daemon);
	return false;
}

void daemon_tell_guard(const struct daemon *daemon, const struct hf_info *info)
{
	log_warning(&daemon->log,
		    "someone has detached the guard from the cgroup %s: attached again",
		    info->cgroup);
}

static void check_guard(struct daemon *daemon, const struct hf_info *info)
{
	const struct hook_target target = {info->cgroup, info->cgroup_id};
	const struct pins *pins = &daemon->plane.pins;
	struct error e = {0};
	int err;

	err = hook_need_guard(pins, &daemon->config, &target, &e);
	if (!err)
		err = hook_spare_guard(pins, &daemon->config, &e);
	if (err > 0)
		daemon_tell_guard(daemon, info);
	else if (err < 0 && !daemon->unguarded)
		log_warning(&daemon->log,
			    "the guard isn't as the rules want it, and applications may undo what "
			    "they ask for: %s (it is tried again)",
			    e.text);
	daemon->unguarded = err < 0;
}

/*
 * Attaches the tracepoint again if its pin has been removed. Nobody can detach its link by force.
 */
static void check_ended(struct daemon *daemon)
{
	const struct pins *pins = &daemon->plane.pins;
	_cleanup_close_ int program = -1;
	struct error e = {0};

	if (!daemon->tracepoint || hook_attached(pins, PIN_ENDED, NULL) != 0)
		return;
	program = pins_get(pins, PIN_ENDED_PROGRAM, &e);
	if (program >= 0 && !hook_attach_tracepoint(pins, PIN_ENDED, program, &e)) {
		log_warning(&daemon->log,
			    "someone has removed what tells how connections end: attached again");
		return;
	}
	log_error(&daemon->log, "how connections end isn't told any more: %s", e.text);
	give_up(daemon);
}

void daemon_check_attached(struct daemon *daemon)
{
	struct hf_info info = {0};

	data_plane_get_info(&daemon->plane, &info, NULL);
	if (!check_sockops(daemon, &info))
		return;
	check_guard(daemon, &info);
	check_ended(daemon);
}
