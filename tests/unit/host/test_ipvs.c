// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests how the table of IPVS's services and its answers are read. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "unit.h"

#include "base/util.h"
#include "host/ipvs.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>

static void test_table(void **state)
{
	static const char *const others[] = {
		"",
		"IP Virtual Server version 1.2.1 (size=4096)\n",
		"Prot LocalAddress:Port Scheduler Flags\n",
		"  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n",
		"  -> 0A4D0002:0CEA      Masq    1      0          0         \n",
		"UDP  0A4D0909:0CEA rr \n",
		"TCP  [zz::1]:0CEA rr \n",
		"TCP  [1:2:3:4:5:6:7:8:9]:0CEA rr \n",
		"TCP  0A4D0909 rr \n",
		"TCP",
	};
	struct conntrack_flow flow = {.family = 4, .peer_port = 3306, .peer = {10, 77, 9, 9}};
	struct ipvs_service service;
	size_t i;

	(void)state;
	assert_true(ipvs_service_parse("TCP  0A4D0909:0CEA rr \n", &service));
	assert_int_equal(service.family, 4);
	assert_int_equal(service.port, 3306);
	assert_true(ipvs_serves(&service, &flow));
	flow.peer_port = 3307;
	assert_false(ipvs_serves(&service, &flow));
	assert_true(ipvs_service_parse("TCP  0A4D0909:0000 rr persistent 300\n", &service));
	assert_true(ipvs_serves(&service, &flow));
	flow.peer[3] = 8;
	assert_false(ipvs_serves(&service, &flow));
	assert_true(ipvs_service_parse("FWM  0000002A rr \n", &service));
	assert_true(ipvs_serves(&service, &flow));
	assert_true(ipvs_service_parse("TCP  [fd77:0000:0000:0000:0000:0000:0000:0009]:0CEB wlc \n",
				       &service));
	assert_false(ipvs_serves(&service, &flow));
	flow = (struct conntrack_flow){
		.family = 6, .peer_port = 3307, .peer = {0xfd, 0x77, [15] = 9}};
	assert_true(ipvs_serves(&service, &flow));
	for (i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(ipvs_service_parse(others[i], &service));
}

static struct nlmsghdr *begin_answer(struct netlink_message *answer)
{
	struct nlmsghdr *header = netlink_ask_begin(answer, 31);

	mnl_nlmsg_put_extra_header(header, sizeof(struct genlmsghdr));
	return header;
}

static void test_answers(void **state)
{
	struct netlink_message answer;
	struct nlmsghdr *header = begin_answer(&answer);
	struct error e;

	(void)state;
	mnl_attr_put_strz(header, CTRL_ATTR_FAMILY_NAME, IPVS_GENL_NAME);
	mnl_attr_put_u16(header, CTRL_ATTR_FAMILY_ID, 33);
	assert_int_equal(ipvs_take_family(header, header->nlmsg_len, &e), 33);
	assert_int_equal(ipvs_take_timeout(header, header->nlmsg_len, &e), -EPROTO);
	header = begin_answer(&answer);
	mnl_attr_put_u32(header, IPVS_CMD_ATTR_TIMEOUT_TCP, 900);
	mnl_attr_put_u32(header, IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, 120);
	assert_int_equal(ipvs_take_timeout(header, header->nlmsg_len, &e), 900);
	header = begin_answer(&answer);
	mnl_attr_put_u16(header, IPVS_CMD_ATTR_TIMEOUT_TCP, 900);
	assert_int_equal(ipvs_take_timeout(header, header->nlmsg_len, &e), -EPROTO);
	header->nlmsg_len = sizeof(*header) + 2;
	assert_int_equal(ipvs_take_timeout(header, header->nlmsg_len, &e), -EPROTO);
}

static void test_questions(void **state)
{
	struct netlink_message question = {0};
	const struct nlmsghdr *header = (const void *)question.bytes;
	const struct genlmsghdr *general = mnl_nlmsg_get_payload(header);

	(void)state;
	ipvs_ask_family(&question);
	assert_int_equal(header->nlmsg_type, GENL_ID_CTRL);
	assert_int_equal(general->cmd, CTRL_CMD_GETFAMILY);
	assert_non_null(memmem(question.bytes, header->nlmsg_len, "IPVS", 5));
	ipvs_ask_timeout(33, &question);
	assert_int_equal(header->nlmsg_type, 33);
	assert_int_equal(general->cmd, IPVS_CMD_GET_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_questions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
