// SPDX-License-Identifier: GPL-2.0-or-later
/* Parses destinations: addresses, prefixes and host names. */
#include "base/text.h"
#include "base/util.h"
#include "conf/parse.h"
#include "conf/value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#define QUOTE(text) text_quote((char[TEXT_QUOTE_MAX]){0}, (text), strlen(text))

#define HOST_NAME_MAX_ 253
#define LABEL_MAX      63

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS	"0123456789"

/* Clears the host bits of a prefix. Returns whether any were set. */
static bool mask_host_bits(struct prefix *prefix)
{
	bool found = false;
	unsigned i;

	for (i = prefix->len; i < 128; i++) {
		uint8_t bit = (uint8_t)(0x80 >> i % 8);

		if (prefix->addr[i / 8] & bit)
			found = true;
		prefix->addr[i / 8] &= (uint8_t)~bit;
	}
	return found;
}

/* Says what is wrong with a text that was meant to be an address. */
static int bad_address(const char *text, const char *address, struct error *e)
{
	const char *colon = strchr(address, ':');
	char copy[INET6_ADDRSTRLEN];
	uint8_t bytes[16];

	if (strchr(address, '%'))
		return error_set(e, EINVAL,
				 "\"%s\" has a scope, which rules don't know (write the address "
				 "without %%...)",
				 QUOTE(text));
	if (address[0] == '[')
		return error_set(e, EINVAL,
				 "\"%s\" is no address (write it without brackets, and a port "
				 "under the key port)",
				 QUOTE(text));
	if (colon && (size_t)(colon - address) < sizeof(copy)) {
		memcpy(copy, address, (size_t)(colon - address));
		copy[colon - address] = '\0';
		if (inet_pton(AF_INET, copy, bytes) == 1)
			return error_set(e, EINVAL,
					 "\"%s\" has a port (write %s, and the port under the key "
					 "port)",
					 QUOTE(text), copy);
	}
	return error_set(e, EINVAL,
			 "\"%s\" is no %s address (write one like %s, or a prefix like %s)",
			 QUOTE(text), colon ? "IPv6" : "IPv4", colon ? "2001:db8::1" : "10.20.0.8",
			 colon ? "2001:db8::/32" : "10.20.0.0/16");
}

static int read_length(const char *text, unsigned *len)
{
	if (strspn(text, DIGITS) != strlen(text) || !*text || strlen(text) > 3)
		return -EINVAL;
	*len = (unsigned)strtoul(text, NULL, 10);
	return 0;
}

int value_prefix(const char *text, struct prefix *prefix, struct error *e)
{
	char address[INET6_ADDRSTRLEN + 1] = "", right[PREFIX_TEXT_MAX];
	const char *slash = strchr(text, '/');
	size_t size = slash ? (size_t)(slash - text) : strlen(text);
	unsigned len, most;

	memset(prefix, 0, sizeof(*prefix));
	if (size >= sizeof(address))
		return bad_address(text, text, e);
	memcpy(address, text, size);
	if (inet_pton(AF_INET, address, prefix->addr) == 1)
		prefix->family = 4;
	else if (inet_pton(AF_INET6, address, prefix->addr) == 1)
		prefix->family = 6;
	else
		return bad_address(text, address, e);

	most = prefix->family == 4 ? 32 : 128;
	len = most;
	if (slash && (read_length(slash + 1, &len) || len > most))
		return error_set(e, EINVAL, "\"%s\" has no sound prefix length (write /0 to /%u)",
				 QUOTE(text), most);
	prefix->len = (uint8_t)len;
	if (mask_host_bits(prefix)) {
		prefix_format(prefix, right, sizeof(right));
		return error_set(e, EINVAL, "prefix %s has host bits set (write %s)", QUOTE(text),
				 right);
	}
	prefix_unmap(prefix);
	return 0;
}

/* Returns whether text can't be a host name, so that it must be meant as an address. */
static bool looks_like_address(const char *text, size_t size)
{
	const char *last = text + size;
	size_t len;

	if (memchr(text, ':', size) || memchr(text, '%', size) || text[0] == '[')
		return true;
	if (size && last[-1] == '.')
		last--;
	len = (size_t)(last - text);
	while (last > text && last[-1] != '.')
		last--;
	len -= (size_t)(last - text);
	/* Resolvers take names like 10.1 and 10.0x1 for addresses; nothing else does. */
	if (len > 2 && last[0] == '0' && (last[1] == 'x' || last[1] == 'X'))
		return strspn(last + 2, DIGITS "abcdefABCDEF") >= len - 2;
	return len && strspn(last, DIGITS) >= len;
}

static bool host_name_sound(const char *name)
{
	size_t size = strlen(name), len;

	if (size && name[size - 1] == '.')
		size--;
	if (!size || size > HOST_NAME_MAX_)
		return false;
	while (size) {
		len = strspn(name, LETTERS DIGITS "-_");
		if (!len || len > LABEL_MAX || name[0] == '-' || name[len - 1] == '-')
			return false;
		if (len == size)
			return true;
		if (name[len] != '.')
			return false;
		name += len + 1;
		size -= len + 1;
	}
	return false;
}

int value_destination(const char *text, struct destination *destination, struct error *e)
{
	memset(destination, 0, sizeof(*destination));
	if (!*text)
		return error_set(e, EINVAL,
				 "a list element is empty (write destinations with one comma "
				 "between)");
	if (!strcmp(text, "any")) {
		destination->kind = DESTINATION_ANY;
		return 0;
	}
	if (!strcasecmp(text, "any") || !strcmp(text, "*"))
		return error_set(e, EINVAL, "\"%s\" is no destination (write any)", QUOTE(text));
	if (looks_like_address(text, strcspn(text, "/"))) {
		destination->kind = DESTINATION_PREFIX;
		return value_prefix(text, &destination->prefix, e);
	}
	if (strchr(text, '/'))
		return error_set(
			e, EINVAL,
			"\"%s\" is no prefix (write an address before the slash, or a host "
			"name alone)",
			QUOTE(text));
	if (!host_name_sound(text))
		return error_set(e, EINVAL,
				 "\"%s\" is no destination (write any, an address, a prefix or a "
				 "host name, with commas between)",
				 QUOTE(text));
	destination->kind = DESTINATION_NAME;
	destination->name = strdup(text);
	if (!destination->name)
		return error_set(e, ENOMEM, "out of memory");
	return 0;
}
