// SPDX-License-Identifier: GPL-2.0-or-later
#include "sockets/support.h"

#include "host/pidfd_socket.h"
#include "sockets/existing.h"

#include <stdio.h>
#include <sys/utsname.h>

bool support_adopts(const struct data_plane *plane)
{
	return existing_by_kernel(plane) || pidfd_socket_possible();
}

bool support_limits(const struct data_plane *plane, char text[SUPPORT_TEXT_MAX])
{
	bool finds_closed =
		pins_has(&plane->pins, PIN_CLOSED) || pins_has(&plane->pins, PIN_CLOSED_FILES);
	struct utsname kernel;

	if (existing_by_kernel(plane) || uname(&kernel) < 0)
		return false;
	if (!pidfd_socket_possible())
		snprintf(text, SUPPORT_TEXT_MAX,
			 "kernel %s can't set options from BPF iterators and has no pidfd_getfd: "
			 "existing connections can't be held",
			 kernel.release);
	else if (pins_has(&plane->pins, PIN_ENDED_PROGRAM))
		snprintf(text, SUPPORT_TEXT_MAX,
			 "kernel %s can't set options from BPF iterators: existing connections are "
			 "held through pidfd_getfd instead",
			 kernel.release);
	else
		snprintf(text, SUPPORT_TEXT_MAX,
			 "kernel %s can't set options from BPF iterators, nor keep socket storage "
			 "in tracepoints%s: existing connections are held through pidfd_getfd "
			 "instead, %sand the log doesn't tell how those end",
			 kernel.release, finds_closed ? "" : ", and refuses iterators over maps",
			 finds_closed ? "" : "disconnected ones keep the rules' values, ");
	return true;
}
