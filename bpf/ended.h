/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Finds out why a held connection ends, counts the end, and reports it. The tracepoint
 * (ended.bpf.c), the sockops program (if hf_tell_by_sockops) or both call hf_state_changed() at
 * every change of a held socket's TCP state.
 */
#ifndef HOLDFAST_ENDED_H
#define HOLDFAST_ENDED_H

#include "socket.h"

/*
 * A server that closes within this time of the last data sent to it may be answering that data:
 * the application has said goodbye (COM_QUIT) and lost the race to close first. An application
 * needs no longer between its goodbye and its close.
 */
#define HF_GOODBYE_MS 100

/* A server's own goodbye, which TLS has, arrives within this time of its FIN. */
#define HF_LAST_WORDS_MS 20

/* Returns whether a FIN that arrives now answers an application's goodbye. */
HF_INLINE bool hf_is_goodbye(struct tcp_sock *tp)
{
	__u32 now = (__u32)bpf_jiffies64(), sent = tp->lsndtime;
	__u32 received = tp->inet_conn.icsk_ack.lrcvtime;

	if (hf_since_ms(now, sent) >= HF_GOODBYE_MS)
		return false;
	if ((__s32)(received - sent) < 0) /* no data has arrived since */
		return true;
	return hf_since_ms(now, received) < HF_LAST_WORDS_MS;
}

/*
 * Returns why a connection ends, from the TCP state that it is about to enter. sk_err is the error
 * that the application is going to see. Probes that are out (icsk_probes_out) say whether a reset
 * answers a probe: a received acknowledgement sets them back to 0 (tcp_ack()).
 *
 * A close by the peer is HF_END_SERVER on the client's side, because the client didn't expect it.
 * On the server's side it is an ordinary end, because there it is how connections end.
 */
HF_INLINE enum hf_end hf_cause_of(struct tcp_sock *tp, __u8 side, int state)
{
	enum hf_end by_peer = side == HF_SIDE_SERVER ? HF_END_APPLICATION : HF_END_SERVER;
	int err = ((struct sock *)tp)->sk_err;
	bool probing = tp->inet_conn.icsk_probes_out > 0;
	bool waiting = tp->snd_nxt != tp->snd_una; /* for data to be acknowledged */

	if (state == BPF_TCP_CLOSE_WAIT)
		return hf_is_goodbye(tp) ? HF_END_APPLICATION : by_peer;
	if (state != BPF_TCP_CLOSE || !err)
		return HF_END_APPLICATION;
	if (err == ECONNABORTED) /* tcp_abort() */
		return HF_END_ABORTED;
	if (err == ECONNRESET || err == EPIPE) {
		if (probing)
			return HF_END_PROBE_RESET;
		/* A reset that answers neither a probe nor data: MariaDB closes like that, too. */
		return waiting ? HF_END_RESET : by_peer;
	}
	if (tp->inet_conn.icsk_user_timeout)
		return HF_END_USER_TIMEOUT;
	return probing ? HF_END_KEEPALIVE : HF_END_RETRANSMIT;
}

/* Reports an end in the ring buffer hf_ends. Returns false if it is full. */
HF_INLINE bool hf_report_end(struct tcp_sock *tp, const struct hf_record *record, enum hf_end cause,
			     int old_state)
{
	struct sock_common *skc = (struct sock_common *)tp;
	struct hf_ended *ended;

	ended = bpf_ringbuf_reserve(&hf_ends, sizeof(*ended), 0);
	if (!ended)
		return false;
	__builtin_memset(ended, 0, sizeof(*ended));
	ended->at_ns = bpf_ktime_get_boot_ns();
	ended->cookie = record->cookie;
	ended->netns = skc->skc_net.net->ns.inum;
	ended->rule_key = record->rule_key;
	ended->inode = hf_socket_inode(tp);
	ended->idle_ms = hf_socket_idle_ms(tp);
	ended->quiet_ms = hf_since_ms((__u32)bpf_jiffies64(), tp->lsndtime);
	ended->user_timeout_ms = tp->inet_conn.icsk_user_timeout;
	/* skc_num may be 0 by now: tcp_set_state() gives the port back. */
	ended->local_port = bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
	ended->peer_port = bpf_ntohs(skc->skc_dport);
	ended->cause = (__u8)cause;
	ended->probes = tp->inet_conn.icsk_probes_out;
	ended->state = (__u8)old_state;
	ended->reset = ((struct sock *)tp)->sk_err == ECONNRESET;
	ended->side = record->side;
	ended->kernel = BPF_CORE_READ_BITFIELD((struct sock *)tp, sk_kern_sock) != 0;
	hf_socket_addresses(tp, &ended->family, ended->local, ended->peer);
	bpf_ringbuf_submit(ended, 0);
	return true;
}

/*
 * Counts and reports the end of a held connection, once, if its new state is one. Called before
 * the socket is in its new state.
 */
HF_INLINE void hf_state_changed(struct tcp_sock *tp, struct hf_record *record, int old_state,
				int state)
{
	struct hf_counters *counters;
	enum hf_end cause;
	__u64 key;

	if (state == BPF_TCP_ESTABLISHED || state == BPF_TCP_SYN_SENT ||
	    state == BPF_TCP_SYN_RECV || state == BPF_TCP_LISTEN || record->ended)
		return;
	record->ended = 1;
	cause = hf_cause_of(tp, record->side, state);
	key = record->rule_key;
	counters = bpf_map_lookup_elem(&hf_counters, &key);
	if (counters && cause < HF_N_ENDS)
		counters->ends[cause]++;
	if (cause != HF_END_APPLICATION && !hf_report_end(tp, record, cause, old_state) && counters)
		counters->untold++;
}

#endif
