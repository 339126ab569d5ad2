// SPDX-License-Identifier: GPL-2.0-or-later
#include "measure/subject.h"

#include "base/clock.h"
#include "base/util.h"
#include "measure/mark.h"

#include <inttypes.h>
#include <stdio.h>

/* How often it is looked at: for its connection, an answer, whether it is still idle. */
#define SEARCH_MS 50
#define ANSWER_MS 5
#define IDLE_MS	  1000

/* A command may switch keepalive on while it logs in. Who does so for longer won't leave it off. */
#define LOUD_MS 5000

int subject_start(struct subject *subject, struct subject_world *world, struct error *e)
{
	return client_start(&subject->client, world->argv, world->started++, e);
}

/* Nothing is sent from now on but by us, and a daemon leaves it alone. */
static int silence(const struct subject *subject, const struct subject_world *world,
		   struct error *e)
{
	int err = mark_left_alone(world->pin_dir, subject->fd, subject->cookie, e);

	return err ? err : connection_silence(subject->fd, e);
}

static int search(struct subject *subject, struct subject_world *world, struct error *e)
{
	struct connection_look look;
	char words[512];
	int64_t now_ms;
	int fd;

	fd = search_connection(&world->helper, &subject->client, &world->peer, &subject->cookie, e);
	now_ms = monotonic_ms();
	if (fd == -ENOENT && subject->client.ended) {
		client_describe_end(&subject->client, words, sizeof(words));
		return error_set(e, ESRCH, "%s", words);
	}
	if (fd == -ENOENT && now_ms - subject->client.started_ms >= SUBJECT_CONNECT_MS) {
		client_last_words(&subject->client, words, sizeof(words));
		return error_set(e, ETIMEDOUT,
				 "the command has opened no connection to there within "
				 "%d s%s%s",
				 SUBJECT_CONNECT_MS / 1000, words[0] ? ": " : "", words);
	}
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	subject->fd = fd;
	subject->stage = SUBJECT_IDLE;
	subject->found_ms = now_ms;
	if (connection_look(fd, &look) == 0) {
		subject->packets = look.packets;
		subject->last_ms = now_ms - (int64_t)look.idle_ms;
	}
	return silence(subject, world, e);
}

static void be_void(struct subject *subject, const char *why)
{
	subject->stage = SUBJECT_DONE;
	subject->outcome = OUTCOME_VOID;
	snprintf(subject->why, sizeof(subject->why), "%s", why);
}

/* It is lost, whoever has lost it. */
static void suspect(struct subject *subject, enum outcome outcome,
		    const struct connection_look *look, int64_t now_ms)
{
	subject->data_idle_ms = look->data_idle_ms;
	subject->asked = subject->stage == SUBJECT_PROBING;
	if (!subject->asked)
		subject->idle_ms = (uint64_t)(now_ms - subject->last_ms);
	subject->stage = SUBJECT_SUSPECT;
	subject->outcome = outcome;
	subject->ended_ms = now_ms;
}

/* The command has let go of it. */
static int left(struct subject *subject, struct error *e)
{
	char words[512];

	client_attend(&subject->client);
	if (!subject->client.ended)
		return error_set(e, ESRCH, "the command has closed its connection by itself");
	client_describe_end(&subject->client, words, sizeof(words));
	return error_set(e, ESRCH, "%s", words);
}

/* Something was sent or received that we have no part in. */
static void disturbed(struct subject *subject, const struct subject_world *world,
		      const struct connection_look *look, int64_t now_ms)
{
	int64_t idle_ms = now_ms - subject->last_ms;
	/* The kernel's times are in ticks, and it is looked at once a second. */
	bool by_data = (int64_t)look->data_idle_ms + IDLE_MS / 2 < idle_ms;
	char why[200];

	subject->packets = look->packets;
	subject->last_ms = now_ms - (int64_t)look->idle_ms;
	if (!by_data && look->idle_ms > IDLE_MS) /* one that the kernel keeps no time of */
		subject->last_ms = now_ms;
	if (subject->control || now_ms - subject->found_ms < (int64_t)world->login_ms)
		return;
	subject->idle_ms = (uint64_t)idle_ms;
	snprintf(why, sizeof(why),
		 by_data ? "it wasn't silent: there was data after %" PRId64 " s"
			 : "it wasn't silent: a packet without data went over it after %" PRId64
			   " s (the server's own keepalive?)",
		 idle_ms / 1000);
	be_void(subject, why);
}

/* Keepalive is on again: by a daemon that was started meanwhile, or by the command itself. */
static int silence_again(struct subject *subject, const struct subject_world *world, int64_t now_ms,
			 struct error *e)
{
	if (!subject->loud_ms)
		subject->loud_ms = now_ms;
	if (now_ms - subject->loud_ms >= LOUD_MS)
		return error_set(
			e, EPERM,
			"something keeps keepalive on on the command's connection (another "
			"holdfast, with a pin dir of its own?)");
	return silence(subject, world, e);
}

static int idle(struct subject *subject, struct subject_world *world, struct error *e)
{
	struct connection_look look;
	int64_t now_ms;
	int err;

	err = connection_look(subject->fd, &look);
	if (err)
		return error_set(e, -err, "looking at a connection: %s", strerror(-err));
	now_ms = monotonic_ms();
	subject->state = look.state;
	if (look.state == CONNECTION_LEFT)
		return left(subject, e);
	if (look.state != CONNECTION_OPEN) {
		suspect(subject, OUTCOME_RESET, &look, now_ms);
		return 0;
	}
	if (subject->client.ended)
		return left(subject, e);
	if (look.packets != subject->packets) {
		disturbed(subject, world, &look, now_ms);
		if (subject->stage == SUBJECT_DONE)
			return 0;
	}
	if (look.keepalive)
		return silence_again(subject, world, now_ms, e);
	subject->loud_ms = 0;
	if (now_ms - subject->last_ms < (int64_t)subject->gap_ms)
		return 0;
	return subject_probe(subject, e);
}

int subject_probe(struct subject *subject, struct error *e)
{
	struct connection_look look;
	int err = connection_look(subject->fd, &look);

	if (err)
		return error_set(e, -err, "looking at a connection: %s", strerror(-err));
	subject->packets_in = look.packets_in;
	subject->probed_ms = monotonic_ms();
	subject->idle_ms = (uint64_t)(subject->probed_ms - subject->last_ms);
	subject->stage = SUBJECT_PROBING;
	return connection_probe(subject->fd, e);
}

static int wait_for_answer(struct subject *subject, struct error *e)
{
	struct connection_look look;
	int64_t now_ms;
	int err = connection_look(subject->fd, &look);

	if (err)
		return error_set(e, -err, "looking at a connection: %s", strerror(-err));
	now_ms = monotonic_ms();
	subject->state = look.state;
	if (look.state == CONNECTION_RESET) {
		suspect(subject, OUTCOME_RESET, &look, now_ms);
		return 0;
	}
	if (look.state == CONNECTION_LEFT)
		return left(subject, e);
	if (look.packets_in == subject->packets_in) {
		if (now_ms - subject->probed_ms >= SUBJECT_ANSWER_MS)
			suspect(subject, OUTCOME_SILENCE, &look, now_ms);
		return 0;
	}
	/* A FIN, too, has come over a path that hasn't forgotten. */
	subject->stage = SUBJECT_DONE;
	subject->outcome = OUTCOME_ANSWERED;
	subject->asked = true;
	subject->answer_ms = (uint64_t)(now_ms - subject->probed_ms);
	subject->ended_ms = now_ms;
	subject->packets = look.packets;
	return connection_silence(subject->fd, e);
}

int subject_attend(struct subject *subject, struct subject_world *world, struct error *e)
{
	client_attend(&subject->client);
	switch (subject->stage) {
	case SUBJECT_STARTING:
		return search(subject, world, e);
	case SUBJECT_IDLE:
		return idle(subject, world, e);
	case SUBJECT_PROBING:
		return wait_for_answer(subject, e);
	default:
		return 0;
	}
}

int64_t subject_next_ms(const struct subject *subject)
{
	int64_t now_ms = monotonic_ms(), due_ms = subject->last_ms + (int64_t)subject->gap_ms;

	switch (subject->stage) {
	case SUBJECT_STARTING:
		return now_ms + SEARCH_MS;
	case SUBJECT_IDLE:
		return due_ms < now_ms + IDLE_MS ? due_ms : now_ms + IDLE_MS;
	case SUBJECT_PROBING:
		return now_ms + ANSWER_MS;
	default:
		return INT64_MAX;
	}
}

void subjects_end(struct subject *subjects, size_t n)
{
	struct client *clients[ROUNDS_CONNECTIONS_MAX + 1];
	size_t i;

	for (i = 0; i < n; i++) {
		if (subjects[i].fd >= 0)
			close(subjects[i].fd);
		subjects[i].fd = -1;
		clients[i] = &subjects[i].client;
	}
	clients_end(clients, n);
}
