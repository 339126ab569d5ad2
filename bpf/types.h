/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the kernel side and the user-space side share: the layout of map keys
 * and values, of what socket storage remembers, and of the records that the
 * iterators write. Fixed-width types only; every size is asserted, because a
 * daemon may meet maps that an older one has pinned. A change to any struct
 * that lives in a pinned map needs a new HF_LAYOUT.
 */
#ifndef HOLDFAST_TYPES_H
#define HOLDFAST_TYPES_H

#include <linux/types.h>

/* Version of everything pinned; part of the pin path. (A test builds another one.) */
#ifndef HF_LAYOUT
#define HF_LAYOUT 2
#endif

/* Which end of a connection this host is, and so which port a rule names. */
enum hf_side {
	HF_SIDE_CLIENT = 0, /* we opened it: the peer's port */
	HF_SIDE_SERVER = 1, /* the peer opened it: the local port */
};

/* Who opened a connection. */
enum hf_opener {
	HF_OPENER_UNKNOWN = 0, /* either: rules of both sides may match */
	HF_OPENER_US = 1,
	HF_OPENER_PEER = 2,
};

/* What to do where the application has keepalive settings of its own. */
enum hf_override {
	HF_OVERRIDE_WHEN_LONGER = 0,
	HF_OVERRIDE_ALWAYS = 1,
	HF_OVERRIDE_NEVER = 2,
};

/* struct hf_rule.flags */
enum {
	HF_RULE_ENFORCE = 1 << 0, /* clear: enforce = no, leave these sockets alone */
};

/*
 * The rules as one longest-prefix-match trie. It holds two kinds of keys:
 *
 *   HF_KEY_PORT   kind, port                       -> hf_ports
 *   HF_KEY_PEER   kind, side, family, class, addr  -> hf_rule
 *
 * A port (a range is cut into prefixes of the port number) leads to a port
 * class for each side: ports that the same rules name share a class, so that
 * `port = 1-65535` costs some thirty keys and not 65535 for each destination.
 * Class and peer address then lead to the rule. Both lie in one map, so that
 * one update of the outer map swaps all of it in one step.
 *
 * IPv4 peers, IPv4-mapped IPv6 ones included, have family 4 and four bytes of
 * address; `any` is the empty prefix of both families.
 */
enum hf_key_kind {
	HF_KEY_PORT = 1,
	HF_KEY_PEER = 2,
};

struct hf_key {
	__u32 prefixlen; /* bits that count, from kind on; host byte order */
	__u8 kind;	 /* enum hf_key_kind */
	__u8 side;	 /* HF_KEY_PEER: enum hf_side; else 0 */
	__u8 port[2];	 /* HF_KEY_PORT: port number, big endian; else 0 */
	__u8 class_[4];	 /* HF_KEY_PEER: port class, big endian */
	__u8 family;	 /* HF_KEY_PEER: 4 or 6 */
	__u8 addr[16];	 /* HF_KEY_PEER: peer, network byte order */
	__u8 pad[3];
};
_Static_assert(sizeof(struct hf_key) == 32, "struct hf_key is part of the pinned layout");

#define HF_KEY_PORT_BITS 16  /* before the port: kind, side */
#define HF_KEY_PEER_BITS 72  /* before the address: kind, side, port, class, family */
#define HF_KEY_BITS	 224 /* all of struct hf_key but prefixlen */

/* Classes that a port belongs to; 0: no rule names it. */
struct hf_ports {
	__u32 class_[2]; /* by enum hf_side */
};

/*
 * The ports that rules name, by side, a bit each: what programs ask first, since
 * most sockets on a host are none of ours. It may have more than the trie, as while
 * rules are swapped, but never fewer.
 */
struct hf_gate {
	__u64 ports[2][65536 / 64]; /* by enum hf_side */
};
_Static_assert(sizeof(struct hf_gate) == 16384, "struct hf_gate is part of the pinned layout");

/* The ends of a connection, as the matcher wants them. */
struct hf_flow {
	__u8 family;	  /* 4 or 6; IPv4-mapped IPv6 is 4: hf_flow_unmap() */
	__u8 opener;	  /* enum hf_opener */
	__u16 peer_port;  /* host byte order */
	__u16 local_port; /* host byte order */
	__u8 peer[16];	  /* network byte order; IPv4 in the first four bytes, the rest 0 */
};

/* What a rule asks of a socket, and which rule it was. */
struct hf_rule {
	__u64 key;	       /* of the rule's name, whatever its place: finds its counters */
	__u32 index;	       /* position in the rule list of this generation */
	__u32 generation;      /* which configuration it came with */
	__u32 user_timeout_ms; /* TCP_USER_TIMEOUT; 0: not touched */
	__u16 time_s;	       /* TCP_KEEPIDLE */
	__u16 interval_s;      /* TCP_KEEPINTVL */
	__u8 probes;	       /* TCP_KEEPCNT */
	__u8 override;	       /* enum hf_override */
	__u8 flags;	       /* HF_RULE_* */
	__u8 prefix_len;       /* of the destination that matched, 0 to 128 */
	__u32 pad;
};
_Static_assert(sizeof(struct hf_rule) == 32, "struct hf_rule is part of the pinned layout");

/* Value of the trie: which member, the key's kind says. */
union hf_value {
	struct hf_ports ports;
	struct hf_rule rule;
};
_Static_assert(sizeof(union hf_value) == 32, "union hf_value is part of the pinned layout");

/*
 * Keepalive settings of a socket. 0 in a number means unset: the kernel then
 * takes the sysctl of the socket's network namespace (tcp_sock.keepalive_time
 * and its neighbours, include/net/tcp.h: keepalive_time_when()).
 */
struct hf_keepalive {
	__u32 on; /* SO_KEEPALIVE, 0 or 1 */
	__u32 time_s;
	__u32 interval_s;
	__u32 probes;
	__u32 user_timeout_ms;
};
_Static_assert(sizeof(struct hf_keepalive) == 20,
	       "struct hf_keepalive is part of the pinned layout");

/* Bits for the members of struct hf_keepalive, see hf_record.chosen. */
enum {
	HF_CHOSE_ON = 1 << 0,
	HF_CHOSE_TIME = 1 << 1,
	HF_CHOSE_INTERVAL = 1 << 2,
	HF_CHOSE_PROBES = 1 << 3,
	HF_CHOSE_USER_TIMEOUT = 1 << 4,
	/* A time, while keepalive was on by us alone: until it is switched off it counts as on, but
	 * off is what is given back. */
	HF_CHOSE_TIME_ONLY = 1 << 5,
};

/* How a socket came to be held. */
enum hf_way {
	HF_WAY_CONNECT = 0,
	HF_WAY_ACCEPT = 1,
	HF_WAY_SWEEP = 2,
};

enum hf_state {
	HF_STATE_HELD = 0, /* the rule's values were put in */
	HF_STATE_OWN = 1,  /* the application's own were left standing */
	/* Before 5.15: being changed from user space, and maybe never done with it. `before` is
	 * then what the socket had, and `set` what it is to have. */
	HF_STATE_CHANGING = 2,
};

/* Socket storage: the rule that was applied, and what the application has asked for. */
struct hf_record {
	__u64 cookie;		    /* socket cookie, as sock_diag has it */
	__u64 rule_key;		    /* hf_rule.key */
	__u64 held_ns;		    /* CLOCK_MONOTONIC at the first decision; 0: none yet */
	struct hf_keepalive app;    /* what the application would have without us: what it had
				       before, and all that it has asked for since, whether the
				       guard let it through or not */
	struct hf_keepalive set;    /* what the socket had after our last visit */
	struct hf_keepalive before; /* see HF_STATE_CHANGING */
	__u32 generation;	    /* of the rules that decided last; 0: to be decided again */
	__u32 rule;		    /* hf_rule.index of that generation */
	/* For the guard, which can't look these up on every kernel. Of the namespace: */
	__u32 sysctl_time_s;
	__u32 sysctl_interval_s;
	__u32 sysctl_probes;
	/* Of that rule: */
	__u32 rule_user_timeout_ms;
	__u16 rule_time_s;
	__u16 rule_interval_s;
	__u8 rule_probes;
	__u8 rule_override;
	__u8 side;    /* enum hf_side: which end this host is under that rule */
	__u8 opener;  /* enum hf_opener; the hook knows it, of others it was inferred. Before 5.15
			 some have a record for that alone (held_ns is 0, hushed) */
	__u8 chosen;  /* HF_CHOSE_*: what the application set itself */
	__u8 state;   /* enum hf_state */
	__u8 way;     /* enum hf_way */
	__u8 ended;   /* its end has been reported */
	__u8 probing; /* time is HF_PROBE_TIME_S for a moment: ours, not the application's */
	__u8 hushed;  /* before 5.15: options that are set now are ours, and no concern of the
			 guard's */
	__u8 pad[6];
};
_Static_assert(sizeof(struct hf_record) == 128, "struct hf_record is part of the pinned layout");

/* The keepalive time of a socket that is being probed: the shortest there is. */
#define HF_PROBE_TIME_S 1

/* How a held connection came to its end. */
enum hf_end {
	HF_END_APPLICATION = 0,	 /* closed in the ordinary way: by the application, on the server's
				    side also by the client */
	HF_END_SERVER = 1,	 /* the server did, unasked, and the application hadn't */
	HF_END_KEEPALIVE = 2,	 /* probes stayed unanswered */
	HF_END_USER_TIMEOUT = 3, /* TCP_USER_TIMEOUT ran out */
	HF_END_PROBE_RESET = 4,	 /* a reset in answer to a probe */
	HF_END_RESET = 5,	 /* a reset in answer to data */
	HF_END_RETRANSMIT = 6,	 /* what was sent stayed unacknowledged (tcp_retries2) */
	HF_END_ABORTED = 7,	 /* from outside: SOCK_DESTROY, as `ss -K` asks for */
	HF_N_ENDS = 8,
};

/*
 * By rule, in a per-CPU map that is keyed by hf_rule.key. What user space counts
 * is under the complement of that key: writing an entry from there writes every
 * CPU's part of it, and would undo what programs count at the same time.
 */
struct hf_counters {
	__u64 held[3];	       /* by enum hf_way */
	__u64 guarded;	       /* how often the guard kept an application from undoing it */
	__u64 ends[HF_N_ENDS]; /* by enum hf_end */
	__u64 untold;	       /* ends that the ring buffer had no room for */
};
_Static_assert(sizeof(struct hf_counters) == 104,
	       "struct hf_counters is part of the pinned layout");

#define HF_CGROUP_PATH_MAX 512
#define HF_VERSION_MAX	   32

/* struct hf_info.flags */
enum {
	HF_INFO_MADE_PIN_DIR = 1 << 0,	/* the pin dir was ours to make, so ours to remove */
	HF_INFO_MOUNTED_BPFFS = 1 << 1, /* likewise the bpffs mount */
};

/* The one entry of the info map: what is attached, for whoever asks. */
struct hf_info {
	__u64 since_s;			 /* CLOCK_REALTIME of the attachment */
	__u64 cgroup_id;		 /* of the cgroup attached to */
	__u32 generation;		 /* of the rules in force */
	__u32 flags;			 /* HF_INFO_* */
	char version[HF_VERSION_MAX];	 /* of the daemon that attached or took over */
	char cgroup[HF_CGROUP_PATH_MAX]; /* directory attached to; empty: the root */
};
_Static_assert(sizeof(struct hf_info) == 568, "struct hf_info is part of the pinned layout");

/* The running configuration as text, in chunks: an array map of these. */
#define HF_TEXT_CHUNK 4096

/* struct hf_view.flags */
enum {
	HF_VIEW_RECORD = 1 << 0,  /* the socket has a record */
	HF_VIEW_MATCH = 1 << 1,	  /* a rule matches: rule and generation count */
	HF_VIEW_SETTLED = 1 << 2, /* nothing to do: the rules in force have decided, and it is as
				     they left it */
	HF_VIEW_OPENER = 1 << 3,  /* the record knows who opened it; else it is inferred */
};

/* The route that the last packet took has gone, and whatever it went by. */
#define HF_LINK_GONE ((__u32)~0)

/* A socket as the view iterators write it: all read from the socket itself. */
struct hf_view {
	__u64 cookie;
	__u64 netns;		 /* inode of its network namespace */
	__u32 rule;		 /* hf_rule.index */
	__u32 generation;	 /* of that rule */
	struct hf_keepalive now; /* in force: namespace sysctls filled in */
	__u8 flags;		 /* HF_VIEW_* */
	__u8 state;		 /* TCP state, TCP_ESTABLISHED... of <netinet/tcp.h> */
	__u8 side;		 /* enum hf_side of the match */
	__u8 way;		 /* enum hf_way, with HF_VIEW_RECORD */
	__u8 own;		 /* enum hf_state, with HF_VIEW_RECORD */
	__u8 family;		 /* 4, or 6 where sock_diag would say so */
	__u16 local_port;	 /* host byte order */
	__u16 peer_port;
	__u8 opener; /* enum hf_opener */
	__u8 pad;
	__u8 local[16]; /* network byte order; IPv4 in the first four bytes */
	__u8 peer[16];
	/* Links by their ifindex. */
	__u32 link_in;	/* by which the last packets came; 0: not known */
	__u32 link_out; /* by which the last one went; 0: not known; HF_LINK_GONE */
};
_Static_assert(sizeof(struct hf_view) == 96, "struct hf_view crosses the kernel border");

/* What hf_settled writes: a cookie, or with this bit the inode of a namespace. */
#define HF_UNSETTLED ((__u64)1 << 63)

/* What hf_survey writes: the inode of a namespace with one of these. */
#define HF_SURVEY_TODO	((__u64)1 << 63) /* without an inode: of any */
#define HF_SURVEY_LOOSE ((__u64)1 << 62)

/*
 * It takes so many steps. A power of two, since tables have that many buckets, and no more than
 * we have maps.
 */
#define HF_SURVEY_CHUNKS 8

/* What the sweep did to a socket, or found; one for each socket that it changed. */
enum hf_swept {
	HF_SWEPT_HELD = 1,	 /* newly held (or newly found to be own) */
	HF_SWEPT_CHANGED = 2,	 /* other values than before: the rules have changed */
	HF_SWEPT_HEALED = 3,	 /* the application had undone them */
	HF_SWEPT_RESTORED = 4,	 /* no rule matches any more: as the application had it */
	HF_SWEPT_FAILED = 5,	 /* the kernel refused; error says with what */
	HF_SWEPT_MARKED = 6,	 /* another sockops program had switched off that we hear of its
				    end; it is on again, and nothing else was done */
	HF_SWEPT_OTHER_SIDE = 7, /* nothing: a rule has its port, but of the other side */
};

struct hf_sweep {
	__u64 cookie;
	__u64 netns;	  /* inode */
	__u16 local_port; /* host byte order */
	__u16 peer_port;
	__s32 error; /* negative errno, with HF_SWEPT_FAILED */
	__u8 what;   /* enum hf_swept */
	__u8 pad[7];
};
_Static_assert(sizeof(struct hf_sweep) == 32, "struct hf_sweep crosses the kernel border");

/* Of the ring buffer of ends. */
#define HF_ENDS_BYTES (256 * 1024)

/* The end of a held connection, in the ring buffer; not for HF_END_APPLICATION. */
struct hf_ended {
	__u64 at_ns; /* CLOCK_BOOTTIME */
	__u64 cookie;
	__u64 netns;
	__u64 rule_key;
	__u32 inode;	/* of sockfs; 0: no file any more */
	__u32 idle_ms;	/* since something was received from the peer */
	__u32 quiet_ms; /* since the application sent data */
	__u32 user_timeout_ms;
	__u16 local_port; /* host byte order */
	__u16 peer_port;
	__u8 cause;	/* enum hf_end */
	__u8 probes;	/* unanswered ones at the end */
	__u8 family;	/* 4, 6 */
	__u8 state;	/* TCP state before */
	__u8 local[16]; /* network byte order; IPv4 in the first four bytes */
	__u8 peer[16];
	__u8 reset; /* with a reset; else with a FIN */
	__u8 side;  /* enum hf_side: which end we were */
	__u8 pad[6];
};
_Static_assert(sizeof(struct hf_ended) == 96, "struct hf_ended crosses the kernel border");

/*
 * A socket with a record, as the look iterator writes it: all that deciding in
 * user space takes, on kernels whose iterators can't set options.
 */
struct hf_look {
	struct hf_view view;
	struct hf_keepalive own;     /* the socket's own settings, 0: unset */
	struct hf_keepalive sysctls; /* of its network namespace */
	__u32 inode;		     /* of sockfs; 0: it has no file any more */
	__u8 unanswered;	     /* keepalive probes that are out */
	__u8 pad[3];
};
_Static_assert(sizeof(struct hf_look) == 144, "struct hf_look crosses the kernel border");

/* A port that somebody listens on; the value is the session of the iterator that met it. */
struct hf_listener {
	__u64 netns; /* inode */
	__u32 port;  /* host byte order */
	__u32 pad;
};
_Static_assert(sizeof(struct hf_listener) == 16, "struct hf_listener is part of the pinned layout");

#define HF_COMM_LEN 16

/*
 * So many sockets may a reader of views want the holders of; whoever wants more looks at
 * every open file (hf_owners). See holders.bpf.c.
 */
#define HF_WANTED_MAX 256

/* Room for some that read at the same time, each one's registration included. */
#define HF_WANTED_ROOM 2048

/*
 * A file that a reader wants the holders of; its value is the socket's cookie. With file 0 the
 * reader's registration, whose value is how many more it may want.
 */
struct hf_wanted {
	__u64 file;   /* the address of its struct file */
	__u32 reader; /* the process, in the initial pid namespace */
	__u32 pad;
};
_Static_assert(sizeof(struct hf_wanted) == 16, "struct hf_wanted is part of the pinned layout");

/* One open file that is a TCP socket with a record or a matching rule. */
struct hf_owner {
	__u64 cookie;
	__u64 netns;
	__s32 pid; /* thread group, in the initial pid namespace */
	__u32 fd;
	char comm[HF_COMM_LEN]; /* of the thread group's leader; may lack the NUL */
};
_Static_assert(sizeof(struct hf_owner) == 40, "struct hf_owner crosses the kernel border");

/* One task and the network namespace that it is in. */
struct hf_task {
	__u64 netns;
	__s32 pid;	  /* thread, in the initial pid namespace */
	__u32 namespaces; /* how many the host has; 0: not counted here, or too many */
};
_Static_assert(sizeof(struct hf_task) == 16, "struct hf_task crosses the kernel border");

#endif
