#include "common/daemon.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const int handled[] = {SIGTERM, SIGINT, SIGHUP};
enum { HANDLED = sizeof handled / sizeof handled[0] };

struct daemon_signals {
    struct daemon_calls calls;
    struct event *events[HANDLED];
};

void daemon_begin(const char *program)
{
    report_set_program(program);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)signal(SIGHUP, SIG_IGN);
}

// ---- options

static bool wants_sample(int argc, char *const *argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--print-config") == 0)
            return true;
    return false;
}

enum config_result daemon_options_read(const struct config_spec *spec, int argc, char *const *argv,
                                       void *options)
{
    if (!wants_sample(argc, argv))
        return config_read(spec, argc, argv, options, NULL);
    config_print_sample(spec, stdout);
    return CONFIG_EXIT;
}

bool daemon_options_reread(const struct config_spec *spec, int argc, char *const *argv, void *fresh)
{
    char *text = NULL, quoted[1024];
    size_t len = 0;
    enum config_result result = CONFIG_USAGE;
    FILE *errors = open_memstream(&text, &len);
    if (errors != NULL) {
        result = config_read_to(spec, argc, argv, fresh, NULL, errors);
        (void)fclose(errors);
    }
    if (text != NULL)
        text[strcspn(text, "\n")] = '\0'; // the first fault is enough for a line of the log
    if (result != CONFIG_OK)
        log_error("reload_failed", "reason=%s",
                  log_quote(text != NULL ? text : "out of memory", quoted, sizeof quoted));
    free(text);
    return result == CONFIG_OK;
}

// ---- signals

static void on_signal(evutil_socket_t signal_number, short what, void *arg)
{
    const struct daemon_signals *signals = arg;
    char name[16];
    (void)what;
    if (signal_number == SIGHUP) {
        log_reopen();
        signals->calls.reload(signals->calls.arg);
        return;
    }
    (void)snprintf(name, sizeof name, "SIG%s", sigabbrev_np((int)signal_number));
    signals->calls.stop(signals->calls.arg, name);
}

struct daemon_signals *daemon_signals_create(struct event_base *base, const struct daemon_calls *calls,
                                             struct error *e)
{
    struct daemon_signals *signals = calloc(1, sizeof *signals);
    bool good = signals != NULL;
    if (good)
        signals->calls = *calls;
    for (int i = 0; i < HANDLED && good; i++) {
        signals->events[i] = evsignal_new(base, handled[i], on_signal, signals);
        good = signals->events[i] != NULL && evsignal_add(signals->events[i], NULL) == 0;
    }
    if (!good) {
        error_set(e, "signals: out of memory");
        daemon_signals_destroy(&signals);
    }
    return signals;
}

void daemon_signals_destroy(struct daemon_signals **signals)
{
    if (*signals == NULL)
        return;
    for (int i = 0; i < HANDLED; i++)
        if ((*signals)->events[i] != NULL)
            event_free((*signals)->events[i]);
    free(*signals);
    *signals = NULL;
}
