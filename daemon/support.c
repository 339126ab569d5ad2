// SPDX-License-Identifier: GPL-2.0-or-later
#include "support.h"

#include "grab.h"

#include <stdio.h>
#include <sys/utsname.h>

bool support_adopts(const struct plane *plane)
{
	return !pins_has(&plane->pins, PIN_LOOK) || grab_possible();
}

bool support_limits(const struct plane *plane, char text[SUPPORT_TEXT_MAX])
{
	bool setting = !pins_has(&plane->pins, PIN_LOOK);
	bool storage = pins_has(&plane->pins, PIN_ENDED);
	struct utsname kernel;

	if ((setting && storage) || uname(&kernel) < 0)
		return false;
	snprintf(text, SUPPORT_TEXT_MAX, "kernel %s can't set options from BPF iterators: %s%s",
		 kernel.release,
		 support_adopts(plane) ? "existing connections are held through pidfd_getfd instead"
				       : "existing connections can't be held",
		 storage ? ""
			 : "; nor keep socket storage in BPF tracepoints: the log doesn't tell how "
			   "those connections end");
	return true;
}
