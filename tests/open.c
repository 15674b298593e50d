/*
 * Opening: one node for a directory, in this process and on the machine; a failure says why and leaves
 * nothing behind. The argument is an empty directory. Run by scripts/c-tests.sh.
 */
#include "expect.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define FAILURES 1000

/* Entries of a folder below /proc/self. */
static int entries(const char *path)
{
    DIR *folder = opendir(path);
    int count = 0;

    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count;
}

static quorate_options *options_for(const char *directory)
{
    quorate_options *options = NULL;

    EXPECT(QUORATE_OPTIONS_CREATE(&options) == QUORATE_OK);
    EXPECT(quorate_options_set_bytes(options, QUORATE_OPT_DIR, bytes(directory)) == QUORATE_OK);
    return options;
}

/* What a second process is told. Called in an exec'd copy of this program. */
static int other_process(const char *directory)
{
    quorate_options *options = options_for(directory);
    quorate_node *node = NULL;
    quorate_status status = quorate_node_open(options, &node, NULL);

    quorate_options_free(options);
    return failures == 0 && status == QUORATE_E_BUSY && node == NULL ? 0 : 1;
}

/* An opening that fails once the directory is locked: its log of hints cannot be read. */
static void fails_behind_the_lock(const char *folder)
{
    char directory[300], hints[320], away[320];
    quorate_options *options;
    quorate_node *node = NULL;
    int i, fds, threads;

    snprintf(directory, sizeof directory, "%s/locked", folder);
    snprintf(hints, sizeof hints, "%s/hints", directory);
    snprintf(away, sizeof away, "%s/away", folder);
    options = options_for(directory);
    EXPECT(quorate_node_open(options, &node, NULL) == QUORATE_OK);
    quorate_node_free(node);
    EXPECT(rename(hints, away) == 0 && fclose(fopen(hints, "w")) == 0);
    fds = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    for (i = 0; i < 20; i++)
        EXPECT(quorate_node_open(options, &node, NULL) == QUORATE_E_IO && node == NULL);
    EXPECT(entries("/proc/self/fd") == fds && entries("/proc/self/task") == threads);
    EXPECT(remove(hints) == 0 && rename(away, hints) == 0);
    EXPECT(quorate_node_open(options, &node, NULL) == QUORATE_OK);
    quorate_node_free(node);
    quorate_options_free(options);
}

int main(int argc, char **argv)
{
    char directory[300];
    quorate_options *options, *wrong;
    quorate_node *node = NULL, *second = NULL;
    quorate_completion end;
    quorate_error error;
    int i, fds, threads, status;
    pid_t child;

    if (argc == 3)
        return other_process(argv[2]);
    if (argc != 2)
        return 64;
    memset(&error, 0, sizeof error);
    error.struct_size = sizeof error;
    fails_behind_the_lock(argv[1]);
    snprintf(directory, sizeof directory, "%s/data", argv[1]);
    options = options_for(directory);
    EXPECT(quorate_node_open(options, &node, &error) == QUORATE_OK);
    if (node == NULL) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }

    /* The same process, and another one. */
    EXPECT(quorate_node_open(options, &second, &error) == QUORATE_E_BUSY && second == NULL);
    EXPECT(error.status == QUORATE_E_BUSY && strstr(error.text, directory) != NULL);
    child = fork();
    if (child == 0) {
        execl(argv[0], argv[0], "--other", directory, (char *)NULL);
        _exit(127);
    }
    EXPECT(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);

    /* What fails leaves no descriptor and no thread. */
    wrong = options_for("/proc/nowhere");
    EXPECT(quorate_node_open(wrong, &second, &error) == QUORATE_E_IO && second == NULL);
    EXPECT(error.os_errno != 0 && error.text[0] != '\0');
    fds = entries("/proc/self/fd");
    threads = entries("/proc/self/task");
    for (i = 0; i < FAILURES; i++) {
        EXPECT(quorate_node_open(i % 2 ? wrong : options, &second, NULL) < 0 && second == NULL);
        if (failures > 0)
            break;
    }
    /* The first node's log worker may open and close files of its own meanwhile. */
    EXPECT(entries("/proc/self/fd") < fds + FAILURES / 100);
    EXPECT(entries("/proc/self/task") < threads + FAILURES / 100);
    quorate_options_free(wrong);

    /* The first one was not disturbed, and once it is gone the directory is free and whole. */
    EXPECT(quorate_node_start(node, NULL) == QUORATE_OK);
    EXPECT(quorate_put_sync(node, bytes("k"), bytes("v"), bytes(""), NULL, &end, sizeof end) == QUORATE_OK);
    quorate_completions_clear(&end, sizeof end, 1);
    EXPECT(quorate_node_stop(node, 0) == QUORATE_OK);
    quorate_node_free(node);
    EXPECT(quorate_node_open(options, &node, &error) == QUORATE_OK);
    EXPECT(quorate_node_start(node, NULL) == QUORATE_OK);
    EXPECT(quorate_get_sync(node, bytes("k"), NULL, &end, sizeof end) == QUORATE_OK && end.n_siblings == 1);
    quorate_completions_clear(&end, sizeof end, 1);
    quorate_node_free(node);
    quorate_options_free(options);
    if (failures == 0)
        printf("open: one node for a directory; %d failures left nothing behind\n", FAILURES);
    return failures > 0;
}
