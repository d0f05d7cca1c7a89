/* SPDX-License-Identifier: MIT */
/* What the counted process asks of callgrind; outside of valgrind these do nothing. */
#include <valgrind/callgrind.h>

void mark_start(void);
void mark_dump(void);

/* Counts from here on. */
void mark_start(void) {
    CALLGRIND_START_INSTRUMENTATION;
}

/* Writes down what was counted since the start or the dump before, as the next numbered file. */
void mark_dump(void) {
    CALLGRIND_DUMP_STATS;
}
