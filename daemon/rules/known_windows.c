// SPDX-License-Identifier: GPL-2.0-or-later
#include "rules/known_windows.h"

#include "base/util.h"

static const struct known_window windows[] = {
	{240, "Azure Load Balancer, NAT"},
	{300, "Cisco Meraki"},
	{350, "AWS Network Load Balancer, NAT gateway"},
	{600, "Google Cloud, Huawei Cloud"},
	{900, "IPVS, Docker Swarm"},
	{910, "Alibaba Cloud ECS"},
	{3600, "China Mobile Cloud, Cisco ASA"},
};

const struct known_window *known_windows(size_t *n)
{
	*n = ARRAY_SIZE(windows);
	return windows;
}
