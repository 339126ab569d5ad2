// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/ipvs.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <string.h>

#define TABLE "/proc/thread-self/net/ip_vs"

FILE *ipvs_table(void)
{
	return fopen(TABLE, "re");
}

/*
 * Lines are "TCP  0A0A000A:0CEA rr ", "TCP  [fd00:0000:...:0001]:0CEA rr ", "FWM  0000002A rr ",
 * and others, with hexadecimal numbers (ip_vs_info_seq_show()).
 */
bool ipvs_service_parse(const char *line, struct ipvs_service *service)
{
	char text[INET6_ADDRSTRLEN];
	unsigned address, port;

	*service = (struct ipvs_service){0};
	if (!strncmp(line, "FWM ", 4))
		return true;
	if (sscanf(line, "TCP [%45[0-9A-Fa-f:]]:%4x ", text, &port) == 2) {
		if (inet_pton(AF_INET6, text, service->addr) != 1)
			return false;
		service->family = 6;
	} else if (sscanf(line, "TCP %8x:%4x ", &address, &port) == 2) {
		address = htonl(address);
		memcpy(service->addr, &address, sizeof(address));
		service->family = 4;
	} else {
		return false;
	}
	service->port = (uint16_t)port;
	return true;
}

bool ipvs_serves(const struct ipvs_service *service, const struct conntrack_flow *flow)
{
	if (!service->family)
		return true;
	return service->family == flow->family &&
	       (!service->port || service->port == flow->peer_port) &&
	       !memcmp(service->addr, flow->peer, service->family == 4 ? 4 : 16);
}

static void put_command(struct nlmsghdr *header, uint8_t command)
{
	struct genlmsghdr *general = mnl_nlmsg_put_extra_header(header, sizeof(*general));

	general->cmd = command;
	general->version = 1; /* of both, the kernel's controller and IPVS */
}

void ipvs_ask_family(struct netlink_message *question)
{
	struct nlmsghdr *header = netlink_ask_begin(question, GENL_ID_CTRL);

	put_command(header, CTRL_CMD_GETFAMILY);
	mnl_attr_put_strz(header, CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME);
}

void ipvs_ask_timeout(uint16_t family, struct netlink_message *question)
{
	put_command(netlink_ask_begin(question, family), IPVS_CMD_GET_CONFIG);
}

/* A number that is looked for among the attributes of a message. */
struct wanted {
	uint16_t type, size;
	uint32_t value;
	bool found;
};

static int take_attribute(const struct nlattr *attr, void *data)
{
	struct wanted *wanted = data;

	if (mnl_attr_get_type(attr) != wanted->type ||
	    mnl_attr_get_payload_len(attr) < wanted->size)
		return MNL_CB_OK;
	wanted->value =
		wanted->size == sizeof(uint16_t) ? mnl_attr_get_u16(attr) : mnl_attr_get_u32(attr);
	wanted->found = true;
	return MNL_CB_STOP;
}

static int take(const void *datagram, size_t size, struct wanted *wanted, struct error *e)
{
	const struct nlmsghdr *message;
	int err = netlink_ask_take(datagram, size, &message, e);

	if (err)
		return err;
	if (mnl_nlmsg_get_payload_len(message) >= sizeof(struct genlmsghdr))
		mnl_attr_parse(message, sizeof(struct genlmsghdr), take_attribute, wanted);
	return wanted->found ? 0 : error_set(e, EPROTO, "IPVS doesn't answer what was asked");
}

int ipvs_take_family(const void *datagram, size_t size, struct error *e)
{
	struct wanted family = {.type = CTRL_ATTR_FAMILY_ID, .size = sizeof(uint16_t)};
	int err = take(datagram, size, &family, e);

	return err ? err : (int)family.value;
}

int64_t ipvs_take_timeout(const void *datagram, size_t size, struct error *e)
{
	struct wanted timeout = {.type = IPVS_CMD_ATTR_TIMEOUT_TCP, .size = sizeof(uint32_t)};
	int err = take(datagram, size, &timeout, e);

	return err ? err : (int64_t)timeout.value;
}

int64_t ipvs_timeout(struct error *e)
{
	_cleanup_close_ int fd = netlink_ask_open(NETLINK_GENERIC, e);
	struct netlink_message question, answer;
	int got;

	if (fd < 0)
		return fd;
	ipvs_ask_family(&question);
	got = netlink_ask(fd, &question, &answer, e);
	if (got >= 0)
		got = ipvs_take_family(answer.bytes, (size_t)got, e);
	if (got < 0)
		return got;
	ipvs_ask_timeout((uint16_t)got, &question);
	got = netlink_ask(fd, &question, &answer, e);
	return got < 0 ? got : ipvs_take_timeout(answer.bytes, (size_t)got, e);
}
