// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests how connection tracking is asked, and how its answers are read: good and broken ones. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "base/util.h"
#include "host/conntrack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <sys/stat.h>

#define CT(message) (NFNL_SUBSYS_CTNETLINK << 8 | (message))
#define GOOD	    (IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED)

static struct nlmsghdr *begin_answer(struct netlink_message *answer)
{
	struct nlmsghdr *header = netlink_ask_begin(answer, CT(IPCTNL_MSG_CT_NEW));

	memset(mnl_nlmsg_put_extra_header(header, sizeof(struct nfgenmsg)), 0,
	       sizeof(struct nfgenmsg));
	return header;
}

static struct nlmsghdr *an_answer(struct netlink_message *answer, uint32_t status, uint8_t state)
{
	struct nlmsghdr *header = begin_answer(answer);
	struct nlattr *protocol, *tcp;

	mnl_attr_put_u32(header, CTA_STATUS, htonl(status));
	mnl_attr_put_u32(header, CTA_TIMEOUT, htonl(299));
	protocol = mnl_attr_nest_start(header, CTA_PROTOINFO);
	tcp = mnl_attr_nest_start(header, CTA_PROTOINFO_TCP);
	mnl_attr_put_u8(header, CTA_PROTOINFO_TCP_STATE, state);
	mnl_attr_nest_end(header, tcp);
	mnl_attr_nest_end(header, protocol);
	return header;
}

static struct conntrack_entry taken(uint32_t status, uint8_t state)
{
	struct netlink_message answer;
	struct conntrack_entry entry;
	struct nlmsghdr *header = an_answer(&answer, status, state);
	struct error e;

	assert_int_equal(conntrack_take(header, header->nlmsg_len, &entry, &e), 0);
	return entry;
}

static void test_question(void **state)
{
	struct conntrack_flow flow = {.family = 4,
				      .local_port = 40000,
				      .peer_port = 3306,
				      .local = {10, 0, 0, 1},
				      .peer = {10, 0, 0, 2}};
	static const uint8_t addresses[] = {8, 0, CTA_IP_V4_SRC, 0, 10, 0, 0, 1,
					    8, 0, CTA_IP_V4_DST, 0, 10, 0, 0, 2};
	struct netlink_message question;
	const struct nlmsghdr *header = (const void *)question.bytes;

	(void)state;
	conntrack_ask(&flow, &question);
	assert_int_equal(header->nlmsg_type, CT(IPCTNL_MSG_CT_GET));
	assert_int_equal(header->nlmsg_flags, NLM_F_REQUEST); /* not a dump */
	assert_non_null(memmem(question.bytes, header->nlmsg_len, addresses, sizeof(addresses)));
	flow.family = 6;
	conntrack_ask(&flow, &question);
	assert_int_equal(((struct nfgenmsg *)mnl_nlmsg_get_payload(header))->nfgen_family,
			 AF_INET6);
}

static void test_answer(void **state)
{
	struct conntrack_entry entry = taken(GOOD, TCP_CONNTRACK_ESTABLISHED);

	(void)state;
	assert_int_equal(entry.timeout_s, 299);
	assert_int_equal(entry.state, TCP_CONNTRACK_ESTABLISHED);
	assert_true(conntrack_is_settled(&entry));
	assert_false(conntrack_is_translated(&entry));
	entry = taken(GOOD | IPS_SRC_NAT, TCP_CONNTRACK_ESTABLISHED);
	assert_true(conntrack_is_translated(&entry));
	entry = taken(GOOD | IPS_DST_NAT, TCP_CONNTRACK_ESTABLISHED);
	assert_true(conntrack_is_translated(&entry));
}

static void test_unsettled(void **state)
{
	static const uint32_t statuses[] = {GOOD | IPS_OFFLOAD, GOOD | IPS_HW_OFFLOAD,
					    GOOD | IPS_FIXED_TIMEOUT, GOOD & ~IPS_ASSURED,
					    GOOD & ~IPS_SEEN_REPLY};
	struct netlink_message answer;
	struct conntrack_entry entry;
	struct nlmsghdr *header;
	struct error e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(statuses); i++) {
		entry = taken(statuses[i], TCP_CONNTRACK_ESTABLISHED);
		assert_false(conntrack_is_settled(&entry));
	}
	entry = taken(GOOD, TCP_CONNTRACK_SYN_RECV);
	assert_false(conntrack_is_settled(&entry));
	/* The kernel leaves the timeout out where a flow is offloaded. */
	header = begin_answer(&answer);
	mnl_attr_put_u32(header, CTA_STATUS, htonl(GOOD));
	assert_int_equal(conntrack_take(header, header->nlmsg_len, &entry, &e), 0);
	assert_false(conntrack_is_settled(&entry));
}

static void test_broken(void **state)
{
	struct netlink_message answer;
	struct nlmsghdr *header = an_answer(&answer, GOOD, TCP_CONNTRACK_ESTABLISHED);
	static const uint32_t lengths[] = {0, 15, 0x7fffffff, 0x80000000, 0xffffffff};
	uint32_t length = header->nlmsg_len, i;
	struct conntrack_entry entry;
	struct error e;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(lengths); i++) {
		header->nlmsg_len = lengths[i];
		assert_int_equal(conntrack_take(header, length, &entry, &e), -EPROTO);
		assert_non_null(strstr(e.text, "cut off"));
	}
	for (i = 0; i < length; i++) { /* cut off anywhere, by its own account: no crash */
		header->nlmsg_len = i;
		conntrack_take(header, length, &entry, &e);
	}
	header->nlmsg_len = length;
	header->nlmsg_seq++;
	assert_int_equal(conntrack_take(header, length, &entry, &e), -EPROTO);
	header->nlmsg_seq--;
	header->nlmsg_type = CT(IPCTNL_MSG_CT_DELETE);
	assert_int_equal(conntrack_take(header, length, &entry, &e), -EPROTO);
	header->nlmsg_type = NLMSG_DONE;
	assert_int_equal(conntrack_take(header, length, &entry, &e), -EPROTO);
	/* An attribute that is too short for its number. */
	header = begin_answer(&answer);
	mnl_attr_put_u8(header, CTA_TIMEOUT, 1);
	assert_int_equal(conntrack_take(header, header->nlmsg_len, &entry, &e), 0);
	assert_false(entry.has_timeout);
}

static void test_errors(void **state)
{
	static const int errors[][2] = {
		{-ENOENT, -ENOENT}, {-EPERM, -EPERM}, {0, -EPROTO}, {1, -EPROTO}, {-5000, -EPROTO}};
	struct netlink_message answer;
	struct nlmsghdr *header = netlink_ask_begin(&answer, NLMSG_ERROR);
	struct nlmsgerr *body = mnl_nlmsg_put_extra_header(header, sizeof(*body));
	struct conntrack_entry entry;
	struct error e;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(errors); i++) {
		body->error = errors[i][0];
		assert_int_equal(conntrack_take(header, header->nlmsg_len, &entry, &e),
				 errors[i][1]);
		assert_true(e.text[0]);
	}
	header->nlmsg_len = sizeof(*header); /* without the number */
	assert_int_equal(conntrack_take(header, header->nlmsg_len, &entry, &e), -EPROTO);
}

static void add_file(const char *root, const char *name)
{
	char path[256], *slash;
	int fd;

	snprintf(path, sizeof(path), "%s%s", root, name);
	for (slash = strchr(path + strlen(root) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0700);
		*slash = '/';
	}
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	close(fd);
}

/* What asking would load: never a module. */
static void test_modules(void **state)
{
	char root[] = "/tmp/holdfast-conntrack-XXXXXX", command[64];

	(void)state;
	assert_non_null(mkdtemp(root));
	add_file(root, "/proc/modules");
	assert_int_equal(conntrack_netlink_find(root), CONNTRACK_NETLINK_ABSENT);
	/* Connection tracking is there, whether as a module or built in isn't known. */
	add_file(root, "/proc/sys/net/netfilter/nf_conntrack_count");
	assert_int_equal(conntrack_netlink_find(root), CONNTRACK_NETLINK_UNCLEAR);
	/* It is a module, and its netlink side isn't loaded. */
	add_file(root, "/sys/module/nf_conntrack/initstate");
	assert_int_equal(conntrack_netlink_find(root), CONNTRACK_NETLINK_ABSENT);
	add_file(root, "/sys/module/nf_conntrack_netlink/initstate");
	assert_int_equal(conntrack_netlink_find(root), CONNTRACK_NETLINK_THERE);
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_question),  cmocka_unit_test(test_answer),
		cmocka_unit_test(test_unsettled), cmocka_unit_test(test_broken),
		cmocka_unit_test(test_errors),	  cmocka_unit_test(test_modules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
