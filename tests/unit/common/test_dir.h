// A folder of a test's own under $TMPDIR, and small files in it. Failures end the program: a test cannot go
// on.
#ifndef MEC_TESTS_TEST_DIR_H
#define MEC_TESTS_TEST_DIR_H

#include <stddef.h>

// Creates a new empty folder; the text is valid until test_dir_remove().
const char *test_dir_create(void);
// Removes the folder and all that is in it.
void test_dir_remove(void);
// The path of a file in the folder, valid until the eighth further call.
const char *test_dir_path(const char *name);
// Writes the text to a file in the folder and returns its path, as test_dir_path().
const char *test_dir_write(const char *name, const char *text);
// The content of a file, NUL-terminated; the caller frees. NULL when it cannot be read. len may be NULL.
char *test_read_file(const char *path, size_t *len);

#endif
