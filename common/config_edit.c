#include "common/config_edit.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MOST (1u << 20)
#define BLANKS    " \t"

static bool failed(struct error *e, const char *path, const char *what)
{
    error_set(e, "%s: %s: %s", path, what, strerror(errno));
    return false;
}

// ---- the text

// Whether a line says `name = value` of this setting.
static bool is_meant(const char *line, size_t len, const struct config_setting *setting)
{
    const char *end = line + len, *at = line + strspn(line, BLANKS);
    size_t name_len = strlen(setting->name);
    if ((size_t)(end - at) <= name_len || strncmp(at, setting->name, name_len) != 0)
        return false;
    at += name_len;
    at += strspn(at, BLANKS);
    if (at >= end || (*at != '=' && *at != ':'))
        return false;
    if (setting->word == NULL)
        return true;
    at++;
    at += strspn(at, BLANKS);
    size_t word_len = strlen(setting->word);
    return (size_t)(end - at) >= word_len && strncmp(at, setting->word, word_len) == 0 &&
           (at + word_len == end || strchr(BLANKS "\r\n", at[word_len]) != NULL);
}

static void write_setting(FILE *out, const struct config_setting *setting)
{
    (void)fprintf(out, "%s = %s\n", setting->name, setting->value);
}

// written: by setting, all false.
static void edit(const char *text, const struct config_setting *settings, size_t count, bool *written,
                 FILE *out)
{
    bool ends = true;
    while (*text != '\0') {
        size_t len = strcspn(text, "\n"), i = 0;
        len += text[len] == '\n';
        while (i < count && !is_meant(text, len, &settings[i]))
            i++;
        if (i == count) {
            (void)fwrite(text, 1, len, out);
            ends = text[len - 1] == '\n';
        } else if (!written[i]) {
            write_setting(out, &settings[i]);
            written[i] = ends = true;
        }
        text += len;
    }
    if (!ends)
        (void)fputc('\n', out);
    for (size_t i = 0; i < count; i++)
        if (!written[i])
            write_setting(out, &settings[i]);
}

// ---- the file

// NULL, *e set. The caller frees.
static char *read_text(const char *path, struct stat *st, struct error *e)
{
    FILE *in = fopen(path, "re");
    if (in == NULL || fstat(fileno(in), st) != 0) {
        (void)failed(e, path, "open");
        if (in != NULL)
            (void)fclose(in);
        return NULL;
    }
    char *text = S_ISREG(st->st_mode) && st->st_size <= FILE_MOST ? calloc(1, FILE_MOST + 2) : NULL;
    size_t len = text != NULL ? fread(text, 1, FILE_MOST + 1, in) : 0;
    bool good = text != NULL && ferror(in) == 0 && len <= FILE_MOST && strlen(text) == len;
    (void)fclose(in);
    if (good)
        return text;
    error_set(e, "%s: expected a readable text file of at most 1 MiB", path);
    free(text);
    return NULL;
}

static bool write_all(int fd, const char *data, size_t len)
{
    while (len != 0) {
        ssize_t n = write(fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        len -= (size_t)n;
    }
    return true;
}

static bool sync_folder(const char *path)
{
    char copy[PATH_MAX];
    (void)snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0)
        (void)close(fd);
    return good;
}

static bool fill(int fd, const struct stat *like, const char *data, size_t len)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return false;
    if ((st.st_uid != like->st_uid || st.st_gid != like->st_gid) &&
        fchown(fd, like->st_uid, like->st_gid) != 0)
        return false;
    return fchmod(fd, like->st_mode & 07777) == 0 && write_all(fd, data, len) && fsync(fd) == 0;
}

static bool replace(const char *path, const struct stat *like, const char *data, size_t len, struct error *e)
{
    char fresh[PATH_MAX + 8];
    (void)snprintf(fresh, sizeof fresh, "%s.XXXXXX", path);
    int fd = mkostemp(fresh, O_CLOEXEC);
    if (fd < 0)
        return failed(e, path, "make a file beside it");
    bool good = fill(fd, like, data, len);
    int error = errno;
    (void)close(fd);
    errno = error;
    if (good && rename(fresh, path) == 0)
        return sync_folder(path) || failed(e, path, "sync its folder");
    error = errno;
    (void)unlink(fresh);
    errno = error;
    return failed(e, path, "write");
}

static bool are_lines(const struct config_setting *settings, size_t count, struct error *e)
{
    for (size_t i = 0; i < count; i++) {
        for (const char *at = settings[i].value; *at != '\0'; at++) {
            if ((unsigned char)*at < ' ' && *at != '\t') {
                error_set(e, "%s: its value is more than a line of text", settings[i].name);
                return false;
            }
        }
    }
    return true;
}

bool config_edit(const char *path, const struct config_setting *settings, size_t count, struct error *e)
{
    char real[PATH_MAX], *fresh = NULL;
    struct stat st;
    size_t len = 0;
    if (!are_lines(settings, count, e))
        return false;
    if (realpath(path, real) == NULL)
        return failed(e, path, "open");
    char *text = read_text(real, &st, e);
    if (text == NULL)
        return false;
    bool *written = calloc(count + 1, sizeof *written);
    FILE *out = open_memstream(&fresh, &len);
    bool good = written != NULL && out != NULL;
    if (good)
        edit(text, settings, count, written, out);
    if ((out != NULL && fclose(out) != 0) || !good) {
        error_set(e, "%s: out of memory", path);
        good = false;
    }
    good = good && replace(real, &st, fresh, len, e);
    free(fresh);
    free(written);
    free(text);
    return good;
}
