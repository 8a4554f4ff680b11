// metrics_lint <PAGE: says what is wrong with a page of metrics, and ends with status 1 if anything is.
// metrics_lint --table <PAGE: its metrics as a table in Markdown.
#include <stdlib.h>
#include <string.h>

#include "metrics_lint.h"

int main(int argc, char **argv)
{
    char *page = NULL;
    size_t len = 0;
    FILE *text = open_memstream(&page, &len);
    if (text == NULL)
        return 2;
    for (int c; (c = getchar()) != EOF;)
        (void)fputc(c, text);
    if (fclose(text) != 0)
        return 2;
    unsigned found = 0;
    if (argc > 1 && strcmp(argv[1], "--table") == 0)
        metrics_table(page, stdout);
    else
        found = metrics_lint(page, stderr);
    free(page);
    return found > 0 ? 1 : 0;
}
