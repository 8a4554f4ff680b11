#include "test_dir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[256];

static void die(const char *what)
{
    perror(what);
    exit(99);
}

const char *test_dir_create(void)
{
    const char *base = getenv("TMPDIR");
    (void)snprintf(dir, sizeof dir, "%s/mec-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(dir) == NULL)
        die(dir);
    return dir;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void test_dir_remove(void)
{
    if (nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS) != 0)
        die(dir);
    dir[0] = '\0';
}

const char *test_dir_path(const char *name)
{
    static char paths[8][512];
    static unsigned next;
    char *path = paths[next++ % 8];
    (void)snprintf(path, sizeof paths[0], "%s/%s", dir, name);
    return path;
}

const char *test_dir_write(const char *name, const char *text)
{
    const char *path = test_dir_path(name);
    FILE *f = fopen(path, "w");
    if (f == NULL || fputs(text, f) == EOF || fclose(f) != 0)
        die(path);
    return path;
}

char *test_read_file(const char *path, size_t *len)
{
    FILE *f = fopen(path, "r");
    if (f == NULL)
        return NULL;
    char *text = NULL;
    size_t used = 0, n;
    do {
        text = realloc(text, used + 65536 + 1);
        if (text == NULL)
            die(path);
        n = fread(text + used, 1, 65536, f);
        used += n;
    } while (n > 0);
    text[used] = '\0';
    (void)fclose(f);
    if (len != NULL)
        *len = used;
    return text;
}
