// All commands: the tables, sorted into one when the first is asked for.
#include "kvstore/resp/handlers.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define COMMANDS_MAX 1024u // with subcommands
#define PLACES       1024u // of the table by hash: a power of two, several times as many as there are commands

static const struct resp_command_table *const tables[] = {
    &resp_table_admin,   &resp_table_acl,          &resp_table_bits,       &resp_table_client,
    &resp_table_cluster, &resp_table_connection,   &resp_table_introspect, &resp_table_key,
    &resp_table_others,  &resp_table_pubsub,       &resp_table_replica,    &resp_table_server,
    &resp_table_string,  &resp_table_transactions,
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const struct resp_command *sorted[COMMANDS_MAX]; // by name
static size_t sorted_count;
static const struct resp_command *numbered[COMMANDS_MAX]; // by address
static size_t numbered_count;
static struct place { // by hash of the name; NULL: free
    const struct resp_command *command;
    size_t len; // of its name
} places[PLACES];
static size_t longest; // name

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct resp_command *const *)a)->name,
                  (*(const struct resp_command *const *)b)->name);
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (const struct resp_command *const *)a,
              y = (uintptr_t) * (const struct resp_command *const *)b;
    return x < y ? -1 : x > y;
}

static void number(const struct resp_command *command)
{
    if (numbered_count < COMMANDS_MAX)
        numbered[numbered_count++] = command;
    for (size_t i = 0; i < command->subcommand_count; i++)
        number(&command->subcommands[i]);
}

// The same for names that differ in case only, and for some others.
static size_t place_of(const uint8_t *name, size_t len)
{
    uint32_t hash = (uint32_t)len;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (name[i] | 0x20u)) * 0x01000193u;
    return (hash ^ hash >> 16) % PLACES;
}

static void put_in_place(const struct resp_command *command)
{
    size_t len = strlen(command->name), at = place_of((const uint8_t *)command->name, len);
    while (places[at].command != NULL)
        at = (at + 1) % PLACES;
    places[at] = (struct place){command, len};
    if (len > longest)
        longest = len;
}

static void sort(void)
{
    for (size_t t = 0; t < sizeof tables / sizeof tables[0]; t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            number(&tables[t]->commands[i]);
            sorted[sorted_count++] = &tables[t]->commands[i];
            put_in_place(&tables[t]->commands[i]);
        }
    }
    qsort(sorted, sorted_count, sizeof sorted[0], by_name);
    qsort(numbered, numbered_count, sizeof numbered[0], by_address);
}

size_t resp_command_count(void)
{
    (void)pthread_once(&once, sort);
    return sorted_count;
}

const struct resp_command *resp_command_at(size_t number)
{
    (void)pthread_once(&once, sort);
    return sorted[number];
}

size_t resp_command_numbers(void)
{
    (void)pthread_once(&once, sort);
    return numbered_count;
}

size_t resp_command_number(const struct resp_command *command)
{
    static _Thread_local const struct resp_command *last; // mostly it is the one before again
    static _Thread_local size_t last_number;
    if (command == last)
        return last_number;
    (void)pthread_once(&once, sort);
    const struct resp_command *const *at =
        bsearch(&command, numbered, numbered_count, sizeof numbered[0], by_address);
    last = command;
    last_number = (size_t)(at - numbered);
    return last_number;
}

// Names in the tables are in lower case.
static bool is_called(const char *name, const uint8_t *other, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t c = other[i];
        if (c >= 'A' && c <= 'Z')
            c |= 0x20;
        if (c != (uint8_t)name[i])
            return false;
    }
    return true;
}

const struct resp_command *resp_command_find(const struct resp_arg *name)
{
    (void)pthread_once(&once, sort);
    if (name->len == 0 || name->len > longest)
        return NULL;
    for (size_t at = place_of(name->data, name->len); places[at].command != NULL; at = (at + 1) % PLACES)
        if (places[at].len == name->len && is_called(places[at].command->name, name->data, name->len))
            return places[at].command;
    return NULL;
}
