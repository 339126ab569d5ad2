// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Sets a socket option as a 32-bit process does, by the system call of i386.
 *
 *     compat FD LEVEL OPTION VALUE
 *
 * Exit status 0, or 1 with the error on standard output. A kernel without these system calls ends
 * it by SIGSEGV; 77: not on this architecture.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__x86_64__)
#define NR_SETSOCKOPT 366 /* arch/x86/entry/syscalls/syscall_32.tbl */

int main(int argc, char **argv)
{
	/* The kernel takes 32 bits of the address. */
	int *value = mmap(NULL, sizeof(*value), PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	int ret;

	if (argc != 5 || value == MAP_FAILED)
		return 2;
	*value = atoi(argv[4]);
	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(NR_SETSOCKOPT), "b"(atoi(argv[1])), "c"(atoi(argv[2])),
			   "d"(atoi(argv[3])), "S"((int)(long)value), "D"((int)sizeof(*value))
			 : "memory", "r8", "r9", "r10", "r11");
	if (ret < 0)
		puts(strerror(-ret));
	return ret < 0;
}
#else
int main(void)
{
	return 77;
}
#endif
