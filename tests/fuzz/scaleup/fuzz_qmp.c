// A line of QEMU's QMP. Oracles: texts are printable ASCII; what is accepted is of one of the four kinds and has what that kind must have.
#include <stdint.h>
#include <stdlib.h>

#include "scaleup/qmp_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void require(int holds)
{
    if (!holds)
        abort();
}

static void check_text(const char *text)
{
    for (; *text; text++)
        require(*text >= ' ' && *text <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct qmp_message m;
    struct error e = {""};
    if (!qmp_message_parse((const char *)data, len, &m, &e)) {
        require(e.text[0]);
        return 0;
    }
    check_text(m.name);
    check_text(m.text);
    require(m.kind != QMP_RETURN || m.value != NULL);
    require(m.kind == QMP_RETURN || m.kind == QMP_EVENT || m.value == NULL);
    require(m.kind == QMP_RETURN || m.kind == QMP_ERROR || m.id == 0);
    qmp_message_release(&m);
    return 0;
}
