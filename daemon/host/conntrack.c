// SPDX-License-Identifier: GPL-2.0-or-later
#include "host/conntrack.h"

#include "base/util.h"

#include <arpa/inet.h>
#include <bpf/btf.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <limits.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netinet/in.h>
#include <string.h>

#define SYSCTLS "/proc/sys/net/netfilter/"
#define MODULES "/sys/module/"

#define TYPE(message) (NFNL_SUBSYS_CTNETLINK << 8 | (message))

/* A struct of nf_conntrack_netlink.c: vmlinux has it only if that file is built in. */
#define NETLINK_STRUCT "ctnetlink_filter"

static bool have(const char *root, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s%s", root, name);
	return access(path, F_OK) == 0;
}

enum conntrack_netlink conntrack_netlink_find(const char *root)
{
	if (!have(root, SYSCTLS "nf_conntrack_count"))
		return CONNTRACK_NETLINK_ABSENT;
	/* A kernel without modules loads none. */
	if (!have(root, "/proc/modules") || have(root, MODULES "nf_conntrack_netlink"))
		return CONNTRACK_NETLINK_THERE;
	/* Only a module has this file, and what depends on a module isn't built in. */
	if (have(root, MODULES "nf_conntrack/initstate"))
		return CONNTRACK_NETLINK_ABSENT;
	return CONNTRACK_NETLINK_UNCLEAR;
}

bool conntrack_netlink_built_in(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	bool found = btf && btf__find_by_name_kind(btf, NETLINK_STRUCT, BTF_KIND_STRUCT) > 0;

	btf__free(btf);
	return found;
}

int64_t conntrack_sysctl(const char *name)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[PATH_MAX];
	long long value;

	snprintf(path, sizeof(path), SYSCTLS "%s", name);
	file = fopen(path, "re");
	return file && fscanf(file, "%lld", &value) == 1 && value >= 0 ? value : -1;
}

bool conntrack_in_use(void)
{
	return conntrack_sysctl("nf_conntrack_count") > 0;
}

int conntrack_open(struct error *e)
{
	return netlink_ask_open(NETLINK_NETFILTER, e);
}

/*
 * Asks by the tuple from this end to the other. The kernel looks it up among the tuples of both
 * directions, so that it finds what the peer has opened, too.
 */
void conntrack_ask(const struct conntrack_flow *flow, struct netlink_message *question)
{
	struct nlmsghdr *header = netlink_ask_begin(question, TYPE(IPCTNL_MSG_CT_GET));
	struct nfgenmsg *general = mnl_nlmsg_put_extra_header(header, sizeof(*general));
	struct nlattr *tuple, *part;
	bool v4 = flow->family == 4;

	general->nfgen_family = v4 ? AF_INET : AF_INET6;
	general->version = NFNETLINK_V0;
	tuple = mnl_attr_nest_start(header, CTA_TUPLE_ORIG);
	part = mnl_attr_nest_start(header, CTA_TUPLE_IP);
	mnl_attr_put(header, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, v4 ? 4 : 16, flow->local);
	mnl_attr_put(header, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, v4 ? 4 : 16, flow->peer);
	mnl_attr_nest_end(header, part);
	part = mnl_attr_nest_start(header, CTA_TUPLE_PROTO);
	mnl_attr_put_u8(header, CTA_PROTO_NUM, IPPROTO_TCP);
	mnl_attr_put_u16(header, CTA_PROTO_SRC_PORT, htons(flow->local_port));
	mnl_attr_put_u16(header, CTA_PROTO_DST_PORT, htons(flow->peer_port));
	mnl_attr_nest_end(header, part);
	mnl_attr_nest_end(header, tuple);
}

static int take_tcp(const struct nlattr *attr, void *data)
{
	struct conntrack_entry *entry = data;

	if (mnl_attr_get_type(attr) == CTA_PROTOINFO_TCP_STATE &&
	    mnl_attr_get_payload_len(attr) >= sizeof(entry->state)) {
		entry->state = mnl_attr_get_u8(attr);
		entry->has_state = true;
	}
	return MNL_CB_OK;
}

static int take_protocol(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == CTA_PROTOINFO_TCP)
		mnl_attr_parse_nested(attr, take_tcp, data);
	return MNL_CB_OK;
}

static int take_attribute(const struct nlattr *attr, void *data)
{
	struct conntrack_entry *entry = data;
	bool number = mnl_attr_get_payload_len(attr) >= sizeof(uint32_t);

	switch (mnl_attr_get_type(attr)) {
	case CTA_TIMEOUT:
		entry->has_timeout = number;
		entry->timeout_s = number ? ntohl(mnl_attr_get_u32(attr)) : 0;
		break;
	case CTA_STATUS:
		entry->status = number ? ntohl(mnl_attr_get_u32(attr)) : 0;
		break;
	case CTA_PROTOINFO:
		mnl_attr_parse_nested(attr, take_protocol, entry);
		break;
	}
	return MNL_CB_OK;
}

int conntrack_take(const void *datagram, size_t size, struct conntrack_entry *entry,
		   struct error *e)
{
	const struct nlmsghdr *message;
	int err = netlink_ask_take(datagram, size, &message, e);

	*entry = (struct conntrack_entry){0};
	if (err)
		return err;
	if (message->nlmsg_type != TYPE(IPCTNL_MSG_CT_NEW) ||
	    mnl_nlmsg_get_payload_len(message) < sizeof(struct nfgenmsg))
		return error_set(e, EPROTO, "connection tracking answers what wasn't asked");
	mnl_attr_parse(message, sizeof(struct nfgenmsg), take_attribute, entry);
	return 0;
}

int conntrack_get(int fd, const struct conntrack_flow *flow, struct conntrack_entry *entry,
		  struct error *e)
{
	struct netlink_message question, answer;
	int got;

	conntrack_ask(flow, &question);
	got = netlink_ask(fd, &question, &answer, e);
	return got < 0 ? got : conntrack_take(answer.bytes, (size_t)got, entry, e);
}

bool conntrack_is_settled(const struct conntrack_entry *entry)
{
	const uint32_t no = IPS_OFFLOAD | IPS_HW_OFFLOAD | IPS_FIXED_TIMEOUT | IPS_DYING;
	const uint32_t yes = IPS_SEEN_REPLY | IPS_ASSURED;

	return entry->has_timeout && !(entry->status & no) && (entry->status & yes) == yes &&
	       (!entry->has_state || entry->state == TCP_CONNTRACK_ESTABLISHED);
}

bool conntrack_is_translated(const struct conntrack_entry *entry)
{
	return entry->status & IPS_NAT_MASK;
}
