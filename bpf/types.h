/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Declares the types that BPF programs and user space share: map keys and values, the record in
 * socket storage, and the structs that iterators write. All members have a fixed width, and every
 * size is asserted, because a daemon may take over maps that an older one has pinned. A change to
 * a struct that lives in a pinned map needs a new HF_LAYOUT. The file is longer than others, so
 * that all that makes a layout is in one place.
 */
#ifndef HOLDFAST_TYPES_H
#define HOLDFAST_TYPES_H

#include <linux/types.h>

/* Version of everything pinned; part of the pin path. A test build sets another one. */
#ifndef HF_LAYOUT
#define HF_LAYOUT 2
#endif

/* The end of a connection that this host is, which decides which port a rule names. */
enum hf_side {
	HF_SIDE_CLIENT = 0, /* this host opened it: the rule names the peer's port */
	HF_SIDE_SERVER = 1, /* the peer opened it: the rule names the local port */
};

/* Who opened a connection. */
enum hf_opener {
	HF_OPENER_UNKNOWN = 0, /* rules of both sides may match */
	HF_OPENER_US = 1,      /* this host */
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
 * The trie holds the rules for longest-prefix matching. It has two kinds of keys:
 *
 *   HF_KEY_PORT   kind, port                       -> hf_ports
 *   HF_KEY_PEER   kind, side, family, class, addr  -> hf_rule
 *
 * A port leads to a port class for each side; a range of ports is cut into prefixes of the port
 * number. Ports that the same rules name share a class, so `port = 1-65535` costs some thirty keys
 * and not 65535 for each destination. Class and peer address then lead to the rule. Both kinds of
 * keys are in one map, so that one update of the outer map swaps all rules in one step.
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

/* The class of a port on each side; 0: no rule names the port there. */
struct hf_ports {
	__u32 class_[2]; /* by enum hf_side */
};

/*
 * A bitmap of the ports that rules name, by side. Programs ask it before they search the trie,
 * since no rule names the ports of most sockets on a host. It has all ports of the trie in force,
 * and may have more, as while rules are swapped.
 */
struct hf_port_bitmap {
	__u64 ports[2][65536 / 64]; /* by enum hf_side */
};
_Static_assert(sizeof(struct hf_port_bitmap) == 16384,
	       "struct hf_port_bitmap is part of the pinned layout");

/* A connection's peer, ports and opener, which the matcher finds a rule for. */
struct hf_flow {
	__u8 family;	  /* 4 or 6; IPv4-mapped IPv6 is 4: hf_flow_unmap() */
	__u8 opener;	  /* enum hf_opener */
	__u16 peer_port;  /* host byte order */
	__u16 local_port; /* host byte order */
	__u8 peer[16];	  /* network byte order; IPv4 in the first four bytes, the rest 0 */
};

/* A rule, as the trie has it: the settings that it asks for, and which rule it is. */
struct hf_rule {
	__u64 key;	       /* rule_key() of its name; the key of its counters */
	__u32 index;	       /* position in the rule list of this generation */
	__u32 generation;      /* number of the configuration that it came with */
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

/* A value of the trie. The key's kind says which member it is. */
union hf_value {
	struct hf_ports ports;
	struct hf_rule rule;
};
_Static_assert(sizeof(union hf_value) == 32, "union hf_value is part of the pinned layout");

/*
 * The keepalive settings of a socket. 0 in a number means unset: for time, interval and probes the
 * kernel then uses the sysctl of the socket's network namespace (tcp_sock.keepalive_time and its
 * neighbours, include/net/tcp.h: keepalive_time_when()).
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
	/* The application set a time while only holdfast had keepalive on. Until the application
	 * sets SO_KEEPALIVE, its keepalive counts as on, but is given back as off. */
	HF_CHOSE_TIME_ONLY = 1 << 5,
};

/* How a socket came to be held. */
enum hf_way {
	HF_WAY_CONNECT = 0,
	HF_WAY_ACCEPT = 1,
	HF_WAY_SWEEP = 2,
};

enum hf_state {
	HF_STATE_HELD = 0, /* the socket has the rule's settings */
	HF_STATE_OWN = 1,  /* the socket keeps the application's own settings */
	/* Before 5.15: user space is changing the socket, or was killed while it did. hf_record
	 * has in `before` what the socket had, and in `set` what it should get. */
	HF_STATE_CHANGING = 2,
};

/*
 * The record of a socket, in socket storage: the rule that was applied, what was set, and what the
 * application has asked for.
 */
struct hf_record {
	__u64 cookie;		    /* socket cookie, as sock_diag has it */
	__u64 rule_key;		    /* hf_rule.key */
	__u64 held_ns;		    /* CLOCK_MONOTONIC at the first decision; 0: none yet */
	struct hf_keepalive app;    /* what the application would have without holdfast: its
				       settings from before, and all that it has asked for since,
				       whether the guard let it pass or not */
	struct hf_keepalive set;    /* what the socket had after the last visit */
	struct hf_keepalive before; /* see HF_STATE_CHANGING */
	__u32 generation;	    /* of the rules that decided last; 0: the next pass decides */
	__u32 rule;		    /* hf_rule.index of that generation */
	/* Sysctls of the network namespace, copied for the guard, which can't read them on every
	 * kernel. */
	__u32 sysctl_time_s;
	__u32 sysctl_interval_s;
	__u32 sysctl_probes;
	/* Members of the rule that decided last, copied for the guard. */
	__u32 rule_user_timeout_ms;
	__u32 probe_end; /* HF_PROBE_TICKS clock: until then the socket is being probed, with the
			    time HF_PROBE_TIME_S; 0: not since the last visit */
	__u16 rule_time_s;
	__u16 rule_interval_s;
	__u8 rule_probes;
	__u8 rule_override;
	__u8 side;   /* enum hf_side: the end that this host is under that rule */
	__u8 opener; /* enum hf_opener; known if hf_sockops made the record, else inferred. Before
			5.15 some records only remember the opener (held_ns 0, hushed 1) */
	__u8 chosen; /* HF_CHOSE_*: the options that the application has set itself */
	__u8 state;  /* enum hf_state */
	__u8 way;    /* enum hf_way */
	__u8 ended;  /* the connection's end has been reported */
	__u8 hushed; /* before 5.15: the guard lets every option pass, since the daemon is setting
			them */
	__u8 left_alone; /* no program touches the socket while it is connected: `holdfast measure`
			    has written this, and has the connection idle */
	__u16 port;	 /* of the connection, host byte order: the one that the rule names, on that
			    side. The socket forgets it when it is disconnected */
	__u8 postponed;	 /* the user timeout isn't set yet: see hf_plan_postpone() */
	__u8 pad[7];
};
_Static_assert(sizeof(struct hf_record) == 136, "struct hf_record is part of the pinned layout");

/* The keepalive time of a socket that is being probed: the shortest there is. */
#define HF_PROBE_TIME_S 1

/*
 * How long a probe is given, in ticks of CLOCK_MONOTONIC ns >> HF_PROBE_SHIFT (16.8 ms): a socket
 * that had data just now is probed after HF_PROBE_TIME_S and the kernel's timer's lateness. Passes
 * leave a socket alone meanwhile. Ticks are compared by their difference, as they wrap.
 */
#define HF_PROBE_SHIFT 24
#define HF_PROBE_TICKS 84

/* How a held connection came to its end. */
enum hf_end {
	HF_END_APPLICATION = 0,	 /* closed in the ordinary way: by the application, on the server's
				    side also by the client */
	HF_END_SERVER = 1,	 /* the server closed it, unasked, before the application did */
	HF_END_KEEPALIVE = 2,	 /* probes stayed unanswered */
	HF_END_USER_TIMEOUT = 3, /* TCP_USER_TIMEOUT ran out */
	HF_END_PROBE_RESET = 4,	 /* a reset in answer to a probe */
	HF_END_RESET = 5,	 /* a reset in answer to data */
	HF_END_RETRANSMIT = 6,	 /* sent data stayed unacknowledged (tcp_retries2) */
	HF_END_ABORTED = 7,	 /* from outside: SOCK_DESTROY, as `ss -K` asks for */
	HF_N_ENDS = 8,
};

/*
 * The counters of a rule, in a per-CPU map with the key hf_rule.key. User space counts in an entry
 * of its own, under the complement of that key, because it can only write every CPU's part of an
 * entry at once, and would undo what programs count at the same time.
 */
struct hf_counters {
	__u64 held[3];	       /* by enum hf_way */
	__u64 guarded;	       /* how often the guard kept an application from undoing the rule */
	__u64 ends[HF_N_ENDS]; /* by enum hf_end */
	__u64 untold;	       /* ends that the ring buffer had no room for */
};
_Static_assert(sizeof(struct hf_counters) == 104,
	       "struct hf_counters is part of the pinned layout");

#define HF_CGROUP_PATH_MAX 512
#define HF_VERSION_MAX	   32

/* struct hf_info.flags */
enum {
	HF_INFO_MADE_PIN_DIR = 1 << 0,	/* a daemon made the pin dir, so a release removes it */
	HF_INFO_MOUNTED_BPFFS = 1 << 1, /* a daemon mounted the bpffs, so a release unmounts it */
};

/* The one entry of the info map, which says what is attached. */
struct hf_info {
	__u64 since_s;			 /* CLOCK_REALTIME of the attachment */
	__u64 cgroup_id;		 /* of the cgroup attached to */
	__u32 generation;		 /* of the rules in force */
	__u32 flags;			 /* HF_INFO_* */
	char version[HF_VERSION_MAX];	 /* of the daemon that attached or took over */
	char cgroup[HF_CGROUP_PATH_MAX]; /* directory attached to; empty: the root */
};
_Static_assert(sizeof(struct hf_info) == 568, "struct hf_info is part of the pinned layout");

/* Size of a chunk of text; maps with a text (text_map.h) are arrays of such chunks. */
#define HF_TEXT_CHUNK 4096

/* struct hf_view.flags */
enum {
	HF_VIEW_RECORD = 1 << 0,     /* the socket has a record */
	HF_VIEW_MATCH = 1 << 1,	     /* a rule matches: rule and generation are valid */
	HF_VIEW_SETTLED = 1 << 2,    /* a pass has nothing to do: see hf_settled_under() */
	HF_VIEW_OPENER = 1 << 3,     /* the opener is the record's; else inferred from the socket */
	HF_VIEW_PROBED = 1 << 5,     /* the time is HF_PROBE_TIME_S because of a probe */
	HF_VIEW_LEFT_ALONE = 1 << 4, /* hf_record.left_alone is set, whatever the rules say */
};

/* hf_view.link_out of a socket whose last packet's route is dead, because its link was removed. */
#define HF_LINK_GONE ((__u32)~0)

/* A socket as the view iterators write it, read from the socket itself. */
struct hf_view {
	__u64 cookie;
	__u64 netns;		 /* inode of its network namespace */
	__u32 rule;		 /* hf_rule.index */
	__u32 generation;	 /* of that rule */
	struct hf_keepalive now; /* in force: unset numbers are the namespace's sysctls */
	__u8 flags;		 /* HF_VIEW_* */
	__u8 state;		 /* TCP state, TCP_ESTABLISHED... of <netinet/tcp.h> */
	__u8 side;		 /* enum hf_side of the match */
	__u8 way;		 /* enum hf_way, with HF_VIEW_RECORD */
	__u8 own;		 /* enum hf_state, with HF_VIEW_RECORD */
	__u8 family;		 /* 4 or 6, as sock_diag has it: 6 for IPv4-mapped IPv6 */
	__u16 local_port;	 /* host byte order */
	__u16 peer_port;
	__u8 opener; /* enum hf_opener */
	__u8 pad;
	__u8 local[16]; /* network byte order; IPv4 in the first four bytes */
	__u8 peer[16];
	__u32 link_in;	/* ifindex of the link by which the last packets came; 0: not known */
	__u32 link_out; /* ifindex of that by which the last one went; 0: not known; HF_LINK_GONE */
	__u32 received_ms; /* hf_held: since the last packet from the peer */
	__u32 gap_ms;	   /* hf_held: the time without data before that packet; 0: it had data */
	__u64 held_ns;	   /* hf_held: CLOCK_MONOTONIC when the socket was first held */
};
_Static_assert(sizeof(struct hf_view) == 112, "struct hf_view crosses the kernel border");

/* hf_settled writes a socket cookie, or with this bit the inode of a network namespace. */
#define HF_UNSETTLED ((__u64)1 << 63)

/* hf_survey writes the inode of a network namespace with one of these bits: see survey.bpf.c. */
#define HF_SURVEY_TODO	((__u64)1 << 63) /* without an inode: all namespaces */
#define HF_SURVEY_LOOSE ((__u64)1 << 62)

/*
 * The steps that a survey takes, a part of the table each: a power of two, as the number of buckets
 * is, and no more than holdfast has maps (hf_survey iterates over maps).
 */
#define HF_SURVEY_CHUNKS 8

/* What the sweep did to a socket, or found there. */
enum hf_swept {
	HF_SWEPT_HELD = 1,	 /* newly held, or newly found to have settings of its own */
	HF_SWEPT_CHANGED = 2,	 /* the rules have changed, and so the settings */
	HF_SWEPT_HEALED = 3,	 /* the application had changed the settings; they are back */
	HF_SWEPT_RESTORED = 4,	 /* no rule holds it any more: it has the application's settings */
	HF_SWEPT_FAILED = 5,	 /* the kernel refused to set an option; see `error` */
	HF_SWEPT_MARKED = 6,	 /* only the state callback, which another sockops program had
				    switched off, was switched on again */
	HF_SWEPT_OTHER_SIDE = 7, /* nothing done: a rule has its port, but for the other side */
	HF_SWEPT_PROBED = 8,	 /* the keepalive time was put back after a probe */
	HF_SWEPT_COMPLETED = 9,	 /* only the user timeout, which had been postponed, was set */
};

/* What the sweep, or hf_probe, writes for a socket. */

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

/* Size of the ring buffer of ends. */
#define HF_ENDS_BYTES (256 * 1024)

/* The end of a held connection, in the ring buffer; HF_END_APPLICATION isn't reported. */
struct hf_ended {
	__u64 at_ns; /* CLOCK_BOOTTIME */
	__u64 cookie;
	__u64 netns;
	__u64 rule_key;
	__u32 inode;	/* in sockfs; 0: no file any more */
	__u32 idle_ms;	/* since a packet was received from the peer */
	__u32 quiet_ms; /* since the application sent data */
	__u32 user_timeout_ms;
	__u16 local_port; /* host byte order */
	__u16 peer_port;
	__u8 cause;	/* enum hf_end */
	__u8 probes;	/* unanswered keepalive probes at the end */
	__u8 family;	/* 4, 6 */
	__u8 state;	/* TCP state before the end */
	__u8 local[16]; /* network byte order; IPv4 in the first four bytes */
	__u8 peer[16];
	__u8 reset;  /* sk_err was ECONNRESET: a reset ended it */
	__u8 side;   /* enum hf_side: the end that this host was */
	__u8 kernel; /* the kernel has made the socket for itself: no process has it open */
	__u8 pad[5];
};
_Static_assert(sizeof(struct hf_ended) == 96, "struct hf_ended crosses the kernel border");

/*
 * A socket with a record, as look.bpf.c writes it where no iterator can set its options: all that
 * user space needs to decide on the socket.
 */
struct hf_look {
	struct hf_view view;
	struct hf_keepalive own;     /* the socket's own settings, 0: unset */
	struct hf_keepalive sysctls; /* of its network namespace */
	__u32 inode;		     /* in sockfs; 0: it has no file any more */
	__u32 idle_ms;		     /* since a packet was received from the peer */
	__u8 unanswered;	     /* keepalive probes that are out */
	__u8 pad[7];
};
_Static_assert(sizeof(struct hf_look) == 168, "struct hf_look crosses the kernel border");

/*
 * Key of an address and a port that a socket listens on; the value is the session of the iterator
 * that met it. All IPv4 addresses are 0.0.0.0, all IPv6 addresses are ::, and a listener for both
 * has two keys.
 */
struct hf_listener {
	__u64 netns;   /* inode */
	__u32 port;    /* host byte order */
	__u32 addr[4]; /* network byte order; IPv4 as IPv4-mapped IPv6 */
	__u32 pad;
};
_Static_assert(sizeof(struct hf_listener) == 32, "struct hf_listener is part of the pinned layout");

#define HF_COMM_LEN 16

/*
 * The most sockets whose holders a reader of views can ask hf_holders for. A reader that wants more
 * reads hf_owners, which looks at every open file. See holders.bpf.c.
 */
#define HF_WANTED_MAX 256

/* Room in hf_wanted for several readers at the same time, their registrations included. */
#define HF_WANTED_ROOM 2048

/*
 * Key of a file whose holders a reader wants; the value is the socket's cookie. With file 0 it is
 * the key of the reader's registration; the value is how many more files it may want.
 */
struct hf_wanted {
	__u64 file;   /* the address of its struct file */
	__u32 reader; /* process id in the initial pid namespace */
	__u32 pad;
};
_Static_assert(sizeof(struct hf_wanted) == 16, "struct hf_wanted is part of the pinned layout");

/* One open file that is a TCP socket with a record or a matching rule. */
struct hf_owner {
	__u64 cookie;
	__u64 netns;
	__s32 pid; /* thread group id in the initial pid namespace */
	__u32 fd;
	char comm[HF_COMM_LEN]; /* of the thread group's leader; may lack the NUL */
};
_Static_assert(sizeof(struct hf_owner) == 40, "struct hf_owner crosses the kernel border");

/* A task and its network namespace. */
struct hf_task {
	__u64 netns;
	__s32 pid;	  /* thread id in the initial pid namespace */
	__u32 namespaces; /* how many the host has; 0: not counted here, or too many */
};
_Static_assert(sizeof(struct hf_task) == 16, "struct hf_task crosses the kernel border");

#endif
