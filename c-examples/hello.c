/*
 * The least that a program does: a node in this process (mode thread), records in memory, one value written and read.
 */
#include <quorate.h>

#include <stdio.h>
#include <string.h>

static quorate_bytes bytes(const char *text)
{
    quorate_bytes out;
    out.data = (const uint8_t *)text;
    out.len = strlen(text);
    return out;
}

int main(void)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;
    quorate_completion put, got;
    quorate_status status;

    memset(&put, 0, sizeof put);
    memset(&got, 0, sizeof got);
    status = QUORATE_OPTIONS_CREATE(&options);
    if (status == QUORATE_OK)
        status = quorate_node_open(options, &node, NULL);
    if (status == QUORATE_OK)
        status = quorate_node_start(node, NULL);
    if (status == QUORATE_OK)
        status = quorate_put_sync(node, bytes("greeting"), bytes("hello"), bytes(""), NULL, &put, sizeof put);
    if (status == QUORATE_OK)
        status = quorate_get_sync(node, bytes("greeting"), NULL, &got, sizeof got);
    if (status == QUORATE_OK)
        printf("%.*s\n", (int)got.siblings[0].value.len, (const char *)got.siblings[0].value.data);
    else
        fprintf(stderr, "%s\n", quorate_status_text(status));

    /* What was never made may be freed as well. */
    quorate_completions_clear(&put, sizeof put, 1);
    quorate_completions_clear(&got, sizeof got, 1);
    quorate_node_free(node);
    quorate_options_free(options);
    return status == QUORATE_OK ? 0 : 1;
}
