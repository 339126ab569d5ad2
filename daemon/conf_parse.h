/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the parts of the configuration reader share: conf.c picks the files,
 * conf_file.c cuts them into lines, conf_section.c takes sections and keys,
 * conf_keys.c the keys' values, which conf_value.c and conf_destination.c read,
 * conf_finish.c makes rules of them all, and conf_claims.c finds those that
 * contradict each other. conf_fault.c collects what is wrong.
 */
#ifndef HOLDFAST_CONF_PARSE_H
#define HOLDFAST_CONF_PARSE_H

#include "conf_message.h"
#include "rules.h"

enum conf_key {
	CONF_GUARD,
	CONF_RECONCILE,
	CONF_TEXTFILE,
	CONF_DESTINATION,
	CONF_RESOLVED,
	CONF_PORT,
	CONF_SIDE,
	CONF_WINDOW,
	CONF_TIME,
	CONF_INTERVAL,
	CONF_PROBES,
	CONF_USER_TIMEOUT,
	CONF_OVERRIDE,
	CONF_ENFORCE,
	CONF_N_KEYS,
};

enum conf_section_kind {
	CONF_SECTION_NONE,    /* before the first section */
	CONF_SECTION_UNKNOWN, /* its keys can't be judged */
	CONF_SECTION_DAEMON,
	CONF_SECTION_DEFAULTS,
	CONF_SECTION_RULE,
};

/* A line of one of the files. */
struct conf_place {
	unsigned file; /* index */
	unsigned line; /* 0: the file as a whole */
};

/* A section, or all sections of that name, and what they set. */
struct conf_section {
	enum conf_section_kind kind;
	char *title;		 /* the rule's name as written, sound or not; owned */
	struct conf_place place; /* of its header */
	struct rule values;	 /* of the keys that are given; name only if it is sound */
	bool guard;
	uint32_t reconcile_s;
	char *textfile; /* owned; NULL: off */
	bool given[CONF_N_KEYS];
	bool bad[CONF_N_KEYS]; /* given, but its value (or part of it) is faulty */
	struct conf_place at[CONF_N_KEYS];
};

/* A message with what puts it in order. */
struct conf_fault {
	struct conf_place place;
	size_t number;
	bool warning;
	char *text; /* owned */
	bool unsafe;
};

struct conf_parser {
	int patience_ms; /* for a file that doesn't come at once, as a FIFO; negative: no end */
	bool marked;	 /* config_to_text() wrote it: see conf_text.h */
	char **files;
	unsigned n_files;
	struct conf_section daemon, defaults;
	struct conf_section *rules;
	size_t n_rules, room_rules;
	struct conf_fault *faults;
	size_t n_faults, room_faults;
	size_t n_errors;
	bool out_of_memory;

	/* Where the reader is. */
	struct conf_place place;
	enum conf_section_kind section;
};

/* conf_fault.c: messages; a format needs no newline. Memory running out is remembered. */
__attribute__((format(printf, 3, 4))) void conf_error(struct conf_parser *parser,
						      struct conf_place place, const char *format,
						      ...);
__attribute__((format(printf, 3, 4))) void conf_warning(struct conf_parser *parser,
							struct conf_place place, const char *format,
							...);

/* A warning that a file or folder is not safe from others: see conf_refuse_unsafe(). */
__attribute__((format(printf, 3, 4))) void conf_unsafe(struct conf_parser *parser,
						       struct conf_place place, const char *format,
						       ...);

/* Moves the faults, in order and each one once, to messages. -ENOMEM. */
int conf_faults_take(struct conf_parser *parser, struct conf_messages *messages);

/* Begins a file: its name, for messages. Out of memory is remembered. */
void conf_begin_file(struct conf_parser *parser, const char *name);

/* conf_file.c: all lines of a text; the file is begun already. */
void conf_read_text(struct conf_parser *parser, const char *text, size_t size);

enum conf_file_kind {
	CONF_FILE,
	CONF_FILE_IF_THERE,
	CONF_FILE_DROPIN, /* its folder is judged by itself, once for all of them */
};

/*
 * Begins the file and reads it; says so where somebody else can write to it, or put another one
 * in its place. False: it isn't there, which is no fault of CONF_FILE_IF_THERE.
 */
bool conf_read_file(struct conf_parser *parser, const char *path, enum conf_file_kind kind);

/*
 * Whether others than root and ourselves can write to a file or a folder; not to a folder of a
 * mount that is read-only.
 */
bool conf_others_write(int fd);

/* Says so where that is the case of what we are reading; it is begun already. */
void conf_check_writers(struct conf_parser *parser, int fd);

/* conf_section.c: "[name]" at parser->place; name is size bytes. */
void conf_take_section(struct conf_parser *parser, const char *name, size_t size);

/* "key = value" at parser->place. */
void conf_take_key(struct conf_parser *parser, const char *key, const char *value);

/* A key's word. */
const char *conf_key_name(enum conf_key key);

/* conf_keys.c: the value of a known key, put into the section. */
void conf_take_value(struct conf_parser *parser, struct conf_section *section, enum conf_key key,
		     const char *value);

/*
 * conf_finish.c: defaults filled in, and what can be judged only then. Rules
 * move to config, in the order of parser->rules.
 */
void conf_finish(struct conf_parser *parser, struct config *config);

/* conf_claims.c: two rules that claim the same. Rules of config as in parser->rules. */
void conf_check_claims(struct conf_parser *parser, const struct config *config);

#endif
