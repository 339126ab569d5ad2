/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ends of held connections, told apart and reported. Called at every change
 * of a held socket's TCP state: from the tracepoint (ended.bpf.c), or where that
 * can't be, from the sockops program.
 */
#ifndef HOLDFAST_ENDED_H
#define HOLDFAST_ENDED_H

#include "socket.h"

/*
 * A server that closes this soon after data was sent to it may answer that data: the
 * application has said goodbye (COM_QUIT), and lost the race to close first. It takes an
 * application no longer than that to come from the one to the other.
 */
#define HF_GOODBYE_MS 100

/* If something came since, it came with the FIN: TLS has the server say goodbye, too. */
#define HF_LAST_WORDS_MS 20

HF_INLINE __u32 hf_since_ms(__u32 now, __u32 then)
{
	__u32 hz = hf_hz;

	return hz ? (__u32)((__u64)(now - then) * 1000 / hz) : 0;
}

/* Whether a FIN answers an application's goodbye. */
HF_INLINE bool hf_is_goodbye(struct tcp_sock *tp)
{
	__u32 now = (__u32)bpf_jiffies64(), sent = tp->lsndtime;
	__u32 received = tp->inet_conn.icsk_ack.lrcvtime;

	if (hf_since_ms(now, sent) >= HF_GOODBYE_MS)
		return false;
	if ((__s32)(received - sent) < 0) /* nothing has come since */
		return true;
	return hf_since_ms(now, received) < HF_LAST_WORDS_MS;
}

/*
 * Why a connection goes. sk_err is what the application is going to see; probes
 * that are out say whether we asked for it: a received acknowledgement sets
 * icsk_probes_out back to 0 (tcp_ack()). A server closes when it pleases, and its
 * clients don't know; that a client closes, or vanishes, is how a server's
 * connections end.
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
		/* Out of the blue: MariaDB closes like that, too. */
		return waiting ? HF_END_RESET : by_peer;
	}
	if (tp->inet_conn.icsk_user_timeout)
		return HF_END_USER_TIMEOUT;
	return probing ? HF_END_KEEPALIVE : HF_END_RETRANSMIT;
}

/* False: there is no room. */
HF_INLINE bool hf_report_end(struct tcp_sock *tp, const struct hf_record *record, enum hf_end cause,
			     int old_state)
{
	struct sock_common *skc = (struct sock_common *)tp;
	__u32 now = (__u32)bpf_jiffies64(), idle, received;
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
	idle = hf_since_ms(now, tp->rcv_tstamp);
	received = hf_since_ms(now, tp->inet_conn.icsk_ack.lrcvtime);
	ended->idle_ms = idle < received ? idle : received;
	ended->quiet_ms = hf_since_ms(now, tp->lsndtime);
	ended->user_timeout_ms = tp->inet_conn.icsk_user_timeout;
	/* Not skc_num: tcp_set_state() has given the port back by now. */
	ended->local_port = bpf_ntohs(tp->inet_conn.icsk_inet.inet_sport);
	ended->peer_port = bpf_ntohs(skc->skc_dport);
	ended->cause = (__u8)cause;
	ended->probes = tp->inet_conn.icsk_probes_out;
	ended->state = (__u8)old_state;
	ended->reset = ((struct sock *)tp)->sk_err == ECONNRESET;
	ended->side = record->side;
	hf_socket_addresses(tp, &ended->family, ended->local, ended->peer);
	bpf_ringbuf_submit(ended, 0);
	return true;
}

/* Called before the socket is in its new state. */
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
