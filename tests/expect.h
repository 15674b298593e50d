/* What the C tests say and count: a condition that does not hold is told, and the test goes on. */
#ifndef EXPECT_H
#define EXPECT_H

#include <quorate.h>

#include <stdio.h>
#include <string.h>

static int failures;

#define EXPECT(condition)                                                          \
    do {                                                                           \
        if (!(condition)) {                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
            failures++;                                                            \
        }                                                                          \
    } while (0)

static quorate_bytes bytes(const char *text)
{
    quorate_bytes out;
    out.data = (const uint8_t *)text;
    out.len = strlen(text);
    return out;
}

#endif
