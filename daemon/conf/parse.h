/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Declares what the parts of the configuration reader share. conf.c picks the files, file.c cuts
 * them into lines, section.c handles sections and keys (names.c has their names), keys.c stores the
 * keys' values, which value.c and destination.c parse, finish.c makes rules of the sections, and
 * claims.c finds rules that contradict each other. fault.c collects the messages.
 */
#ifndef HOLDFAST_CONF_PARSE_H
#define HOLDFAST_CONF_PARSE_H

#include "conf/message.h"
#include "rules/rules.h"

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
	CONF_SECTION_UNKNOWN, /* its keys are ignored */
	CONF_SECTION_DAEMON,
	CONF_SECTION_DEFAULTS,
	CONF_SECTION_RULE,
};

/* A line in one of the files. */
struct conf_place {
	unsigned file; /* index in conf_parser.files */
	unsigned line; /* from 1; 0: the whole file */
};

/* A section and what it sets. All [daemon] sections count as one, and so do all [defaults]. */
struct conf_section {
	enum conf_section_kind kind;
	char *title;		 /* the rule's name as written, even if it is invalid; owned */
	struct conf_place place; /* of its header */
	struct rule values;	 /* of the given keys; name: empty if it is invalid */
	bool guard;
	uint32_t reconcile_s;
	char *textfile; /* owned; NULL: off */
	bool given[CONF_N_KEYS];
	bool bad[CONF_N_KEYS];		   /* given, but its value, or part of it, is invalid */
	struct conf_place at[CONF_N_KEYS]; /* of the last line that gives the key */
};

/* A message, and what sorts it. */
struct conf_fault {
	struct conf_place place;
	size_t number; /* in the order of discovery */
	bool warning;
	char *text; /* owned */
	bool unsafe;
};

struct conf_parser {
	int patience_ms; /* longest wait for a file (it may be a FIFO); negative: no limit */
	bool marked;	 /* the text has the mark of conf_write_text(): conf/text.h */
	char **files;	 /* names for messages; owned */
	unsigned n_files;
	struct conf_section daemon, defaults;
	struct conf_section *rules;
	size_t n_rules, room_rules;
	struct conf_fault *faults;
	size_t n_faults, room_faults;
	size_t n_errors;
	bool out_of_memory;

	/* The line and section being read. */
	struct conf_place place;
	enum conf_section_kind section;
};

/* fault.c: add an error or a warning; format needs no newline. If memory runs out, they set
 * parser->out_of_memory. */
__attribute__((format(printf, 3, 4))) void conf_error(struct conf_parser *parser,
						      struct conf_place place, const char *format,
						      ...);
__attribute__((format(printf, 3, 4))) void conf_warning(struct conf_parser *parser,
							struct conf_place place, const char *format,
							...);

/* Adds a warning that others can change a file or folder: see conf_refuse_unsafe(). */
__attribute__((format(printf, 3, 4))) void conf_unsafe(struct conf_parser *parser,
						       struct conf_place place, const char *format,
						       ...);

/* Moves the faults to messages, in order and without duplicates. Returns 0 or -ENOMEM. */
int conf_faults_take(struct conf_parser *parser, struct conf_messages *messages);

/* file.c: begins a file; name is what messages call it. If memory runs out, sets
 * parser->out_of_memory. */
void conf_begin_file(struct conf_parser *parser, const char *name);

/* Reads all lines of a text, after conf_begin_file(). */
void conf_read_text(struct conf_parser *parser, const char *text, size_t size);

enum conf_file_kind {
	CONF_FILE,
	CONF_FILE_IF_THERE, /* may be missing */
	CONF_FILE_DROPIN,   /* its folder is checked by conf.c, once for all drop-ins */
};

/*
 * Begins the file at path and reads it. Warns if somebody else can write to it, or can put another
 * file in its place. Returns false only if a CONF_FILE_IF_THERE doesn't exist; any other failure is
 * a fault of the file.
 */
bool conf_read_file(struct conf_parser *parser, const char *path, enum conf_file_kind kind);

/*
 * Returns whether users other than root and ourselves can write to a file or a folder. A folder on
 * a read-only mount counts as not writable.
 */
bool conf_others_write(int fd);

/* Warns if conf_others_write() is true of the file or folder that was begun last. */
void conf_check_writers(struct conf_parser *parser, int fd);

/* A set of sections in which a key may be given. */
enum conf_sections {
	CONF_IN_DAEMON = 1 << 0,
	CONF_IN_DEFAULTS = 1 << 1,
	CONF_IN_RULE = 1 << 2,
};

/* names.c: return a key's name, and the sections in which it may be given (bits of enum
 * conf_sections). */
const char *conf_key_name(enum conf_key key);
unsigned conf_key_sections(enum conf_key key);

/* Finds the key of that name. marked: finds CONF_RESOLVED, too, which only the text of
 * conf_write_text() may have. Returns whether there is such a key. */
bool conf_find_key(const char *name, bool marked, enum conf_key *found);

/*
 * Returns whether word (size bytes) may be meant for the known one: misspelled, longer or shorter.
 * If so, sets *distance, by which the nearest of several known words is found.
 */
bool conf_words_near(const char *word, size_t size, const char *known, size_t *distance);

/* section.c: handles "[name]" at parser->place; name has size bytes. */
void conf_take_section(struct conf_parser *parser, const char *name, size_t size);

/* Handles "key = value" at parser->place. */
void conf_take_key(struct conf_parser *parser, const char *key, const char *value);

/* keys.c: parses the value of a known key, and stores it in the section. */
void conf_take_value(struct conf_parser *parser, struct conf_section *section, enum conf_key key,
		     const char *value);

/*
 * finish.c: fills in the defaults, and checks what can be checked only then. Moves the rules to
 * config, in the order of parser->rules.
 */
void conf_finish(struct conf_parser *parser, struct config *config);

/* claims.c: adds an error for each rule that claims what an earlier rule claims. The rules of
 * config are in the order of parser->rules. */
void conf_check_claims(struct conf_parser *parser, const struct config *config);

#endif
