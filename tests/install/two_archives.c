/*
 * Two archives that rustc made, in one program: each has a runtime, and both work. Run by scripts/install-check.sh.
 */
#include <quorate.h>

#include <stdio.h>

int other_catches(int number);

int main(void)
{
    quorate_options *options = NULL;
    quorate_node *node = NULL;

    if (QUORATE_OPTIONS_CREATE(&options) != QUORATE_OK)
        return 1;
    if (quorate_node_open(options, &node, NULL) != QUORATE_OK || quorate_node_start(node, NULL) != QUORATE_OK)
        return 2;
    if (other_catches(1) != -1 || other_catches(0) != 0)
        return 3;
    if (quorate_node_stop(node, 1000000000u) != QUORATE_OK)
        return 4;
    quorate_node_free(node);
    quorate_options_free(options);
    printf("%s beside another archive\n", quorate_version_string());
    return 0;
}
