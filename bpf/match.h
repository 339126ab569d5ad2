/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds the rule that a connection gets. The BPF programs, the daemon, the command and the unit
 * tests compile this same code, so that it decides alike everywhere.
 *
 * A file that includes this one defines first
 *
 *   HF_LOOKUP(trie, key)  returns the value of the longest prefix of *key (a struct hf_key) as
 *                         a const union hf_value *, or NULL
 *
 * and passes the `trie` that HF_LOOKUP takes to hf_match(). It may also define
 *
 *   HF_MAY_MATCH(side, port)  returns false if no rule has that port on that side, which saves
 *                             the look-up
 */
#ifndef HOLDFAST_MATCH_H
#define HOLDFAST_MATCH_H

#include "types.h"

#ifndef HF_INLINE
#define HF_INLINE static inline __attribute__((always_inline))
#endif

/* Turns an IPv4-mapped peer, ::ffff:a.b.c.d, into family 4. Leaves any other peer alone. */
HF_INLINE void hf_flow_unmap(struct hf_flow *flow)
{
	__u8 other = 0;
	int i;

	if (flow->family != 6)
		return;
	for (i = 0; i < 10; i++)
		other |= flow->peer[i];
	if (other || flow->peer[10] != 0xff || flow->peer[11] != 0xff)
		return;
	flow->family = 4;
	for (i = 0; i < 4; i++)
		flow->peer[i] = flow->peer[12 + i];
	for (i = 4; i < 16; i++)
		flow->peer[i] = 0;
}

/* Makes the key of the first `bits` (0 to 16) of a port number. */
HF_INLINE void hf_key_port(struct hf_key *key, __u16 port, __u32 bits)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->prefixlen = HF_KEY_PORT_BITS + bits;
	key->kind = HF_KEY_PORT;
	key->port[0] = (__u8)(port >> 8);
	key->port[1] = (__u8)port;
}

/* Makes the key of the first `bits` (IPv4: 0 to 32, IPv6: 0 to 128) of a peer's address. */
HF_INLINE void hf_key_peer(struct hf_key *key, enum hf_side side, __u32 class_, __u8 family,
			   const __u8 addr[16], __u32 bits)
{
	__builtin_memset(key, 0, sizeof(*key));
	key->prefixlen = HF_KEY_PEER_BITS + bits;
	key->kind = HF_KEY_PEER;
	key->side = (__u8)side;
	key->class_[0] = (__u8)(class_ >> 24);
	key->class_[1] = (__u8)(class_ >> 16);
	key->class_[2] = (__u8)(class_ >> 8);
	key->class_[3] = (__u8)class_;
	key->family = family;
	__builtin_memcpy(key->addr, addr, sizeof(key->addr));
}

#ifdef HF_LOOKUP
#ifndef HF_MAY_MATCH
#define HF_MAY_MATCH(side, port) 1
#endif

/* Returns the class of a port on a side, or 0 if no rule names the port there. */
HF_INLINE __u32 hf_port_class(void *trie, enum hf_side side, __u16 port)
{
	const union hf_value *value;
	struct hf_key key;

	if (!HF_MAY_MATCH(side, port))
		return 0;
	hf_key_port(&key, port, 16);
	value = HF_LOOKUP(trie, &key);
	return value ? value->ports.class_[side] : 0;
}

/*
 * Returns the rule for a flow, or NULL, and sets *side to the end that this host is under it.
 * Where it isn't known who opened the connection, the rules of both sides may match: the longer
 * prefix wins, and the client's rule if both are equally long.
 */
HF_INLINE const struct hf_rule *hf_match(void *trie, const struct hf_flow *flow, enum hf_side *side)
{
	const struct hf_rule *client = 0, *server = 0;
	const union hf_value *value;
	__u32 bits = flow->family == 4 ? 32 : 128;
	__u32 class_;
	struct hf_key key;

	class_ = flow->opener == HF_OPENER_PEER
			 ? 0
			 : hf_port_class(trie, HF_SIDE_CLIENT, flow->peer_port);
	if (class_) {
		hf_key_peer(&key, HF_SIDE_CLIENT, class_, flow->family, flow->peer, bits);
		value = HF_LOOKUP(trie, &key);
		client = value ? &value->rule : 0;
	}

	class_ = flow->opener == HF_OPENER_US
			 ? 0
			 : hf_port_class(trie, HF_SIDE_SERVER, flow->local_port);
	if (class_) {
		hf_key_peer(&key, HF_SIDE_SERVER, class_, flow->family, flow->peer, bits);
		value = HF_LOOKUP(trie, &key);
		server = value ? &value->rule : 0;
	}

	if (server && (!client || server->prefix_len > client->prefix_len)) {
		*side = HF_SIDE_SERVER;
		return server;
	}
	*side = HF_SIDE_CLIENT;
	return client;
}
#endif

#endif
