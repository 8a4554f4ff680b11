#include "kvstore/resp/syntax.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct parser {
    struct resp_syntax *syntax;
    const char *at;
    bool broken;
};

struct list { // of nodes, linked by next
    unsigned first, last;
    size_t count;
    bool repeats; // ended by "..."
};

static struct resp_syntax_node *node_at(struct parser *p, unsigned index)
{
    return &p->syntax->nodes[index];
}

static unsigned add_node(struct parser *p, enum resp_syntax_kind kind)
{
    if (p->syntax->count == RESP_SYNTAX_NODES) {
        p->broken = true;
        return p->syntax->count - 1; // any: the tree is of no use
    }
    unsigned index = p->syntax->count++;
    p->syntax->nodes[index] = (struct resp_syntax_node){.kind = kind};
    return index;
}

static void append(struct parser *p, struct list *list, unsigned index)
{
    if (list->first == RESP_SYNTAX_NONE)
        list->first = index;
    else
        node_at(p, list->last)->next = index;
    list->last = index;
    list->count++;
}

// ---- words

static char peek(struct parser *p)
{
    while (*p->at == ' ')
        p->at++;
    return *p->at;
}

static size_t word_len(const char *at)
{
    return strcspn(at, " []<>|");
}

static bool is_word(char c)
{
    return c != '\0' && strchr("[]<>|", c) == NULL;
}

// No small letters: ID, LIB-NAME, "*".
static bool is_token(const char *word, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (islower((unsigned char)word[i]))
            return false;
    }
    return true;
}

static void set_name(struct resp_syntax_node *node, const char *word, size_t len)
{
    size_t n = len < sizeof node->name - 1 ? len : sizeof node->name - 1;
    for (size_t i = 0; i < n; i++)
        node->name[i] = (char)tolower((unsigned char)word[i]);
    node->name[n] = '\0';
}

// The word at hand as a node.
static unsigned take_word(struct parser *p)
{
    size_t len = word_len(p->at);
    bool token = is_token(p->at, len);
    unsigned index = add_node(p, token ? RESP_SYNTAX_TOKEN : RESP_SYNTAX_ARGUMENT);
    struct resp_syntax_node *node = node_at(p, index);
    set_name(node, p->at, len);
    if (token) {
        node->token = p->at;
        node->token_len = len;
    }
    p->at += len;
    return index;
}

static bool argument_follows(struct parser *p)
{
    return is_word(peek(p)) && !is_token(p->at, word_len(p->at));
}

// ---- groups

// Names as Redis's documentation gives them: by purpose where one is common, else by the parts.
static void name_group(struct parser *p, struct resp_syntax_node *group)
{
    const char *first = node_at(p, group->children)->name;
    if (group->kind == RESP_SYNTAX_ONE_OF && (strcmp(first, "nx") == 0 || strcmp(first, "seconds") == 0)) {
        (void)snprintf(group->name, sizeof group->name, "%s", first[0] == 'n' ? "condition" : "expiration");
        return;
    }
    size_t used = 0;
    for (unsigned i = group->children; i != RESP_SYNTAX_NONE && used < sizeof group->name;
         i = node_at(p, i)->next)
        used += (size_t)snprintf(group->name + used, sizeof group->name - used, "%s%s", used != 0 ? "_" : "",
                                 node_at(p, i)->name);
}

static unsigned make_group(struct parser *p, enum resp_syntax_kind kind, const struct list *list)
{
    if (list->count == 0)
        p->broken = true;
    if (list->count <= 1)
        return list->first;
    unsigned index = add_node(p, kind);
    node_at(p, index)->children = list->first;
    name_group(p, node_at(p, index));
    return index;
}

static void give_token(struct parser *p, unsigned to, unsigned token)
{
    struct resp_syntax_node *node = node_at(p, to);
    if (node->token != NULL) // it has one: both are to be said, one after the other
        return;
    node->token = node_at(p, token)->token;
    node->token_len = node_at(p, token)->token_len;
}

static unsigned parse_inside(struct parser *p, char end, bool *repeats);

// A token and what it names: nothing, an argument, several, a group.
static unsigned parse_token(struct parser *p)
{
    unsigned token = take_word(p), named = RESP_SYNTAX_NONE;
    bool repeats = false;
    if (peek(p) == '<') {
        p->at++;
        named = parse_inside(p, '>', &repeats);
    } else {
        struct list arguments = {0};
        while (argument_follows(p))
            append(p, &arguments, take_word(p));
        if (arguments.count != 0)
            named = make_group(p, RESP_SYNTAX_BLOCK, &arguments);
    }
    if (named == RESP_SYNTAX_NONE)
        return token;
    give_token(p, named, token);
    return named;
}

static bool same(const struct resp_syntax_node *a, const struct resp_syntax_node *b)
{
    return a->kind == b->kind && strcmp(a->name, b->name) == 0;
}

// "[key value ...]" behind "key value": those before it may come several times.
static void fold(struct parser *p, struct list *list, const struct list *repeated)
{
    size_t skipped = list->count - repeated->count;
    unsigned before = RESP_SYNTAX_NONE, at = list->first;
    if (repeated->count == 0 || list->count < repeated->count) {
        p->broken = true;
        return;
    }
    for (; skipped != 0; skipped--) {
        before = at;
        at = node_at(p, at)->next;
    }
    struct list several = {.first = at, .last = list->last, .count = repeated->count};
    for (unsigned i = at, j = repeated->first; i != RESP_SYNTAX_NONE; i = node_at(p, i)->next) {
        if (!same(node_at(p, i), node_at(p, j)))
            p->broken = true;
        j = node_at(p, j)->next;
    }
    bool with_token = node_at(p, repeated->first)->token != NULL;
    unsigned group = make_group(p, RESP_SYNTAX_BLOCK, &several);
    node_at(p, group)->multiple = true;
    node_at(p, group)->multiple_token = with_token && repeated->count == 1;
    if (before != RESP_SYNTAX_NONE)
        node_at(p, before)->next = group;
    else
        list->first = group;
    list->last = group;
    list->count -= repeated->count - 1;
}

static struct list parse_sequence(struct parser *p, bool top);

static void parse_optional(struct parser *p, struct list *list)
{
    const char *start = ++p->at;
    unsigned count = p->syntax->count;
    struct list inner = parse_sequence(p, false);
    if (inner.repeats && peek(p) == ']') {
        p->at++;
        fold(p, list, &inner);
        return;
    }
    p->at = start; // again, with its alternatives
    p->syntax->count = count;
    bool repeats = false;
    unsigned index = parse_inside(p, ']', &repeats);
    if (p->broken)
        return;
    node_at(p, index)->optional = true;
    node_at(p, index)->multiple |= repeats;
    append(p, list, index);
}

// Words and brackets up to a | or a closing bracket. At the top a | stands between two words.
static struct list parse_sequence(struct parser *p, bool top)
{
    struct list list = {0};
    for (char c; !p->broken && (c = peek(p)) != '\0' && c != ']' && c != '>' && c != '|';) {
        bool repeats;
        if (strncmp(p->at, "...", 3) == 0) {
            p->at += 3;
            list.repeats = true;
        } else if (c == '[') {
            parse_optional(p, &list);
        } else if (c == '<') {
            p->at++;
            append(p, &list, parse_inside(p, '>', &repeats));
        } else if (top && p->at[word_len(p->at)] == '|') {
            struct list words = {0};
            append(p, &words, take_word(p));
            while (*p->at == '|' && is_word(*++p->at))
                append(p, &words, take_word(p));
            append(p, &list, make_group(p, RESP_SYNTAX_ONE_OF, &words));
        } else if (is_token(p->at, word_len(p->at))) {
            append(p, &list, parse_token(p));
        } else {
            append(p, &list, take_word(p));
        }
    }
    return list;
}

// "[OVERFLOW WRAP|SAT|FAIL]": the first token names the choice between the others.
static bool first_names_all(struct parser *p, const struct list *first, const struct list *alternatives)
{
    if (first->count != 2 || node_at(p, first->first)->kind != RESP_SYNTAX_TOKEN ||
        node_at(p, first->last)->kind != RESP_SYNTAX_TOKEN)
        return false;
    for (unsigned i = node_at(p, alternatives->first)->next; i != RESP_SYNTAX_NONE; i = node_at(p, i)->next) {
        if (node_at(p, i)->kind != RESP_SYNTAX_TOKEN)
            return false;
    }
    return true;
}

// What is between brackets, and the closing one.
static unsigned parse_inside(struct parser *p, char end, bool *repeats)
{
    struct list alternatives = {0}, first = {0};
    do {
        struct list sequence = parse_sequence(p, false);
        if (p->broken)
            return RESP_SYNTAX_NONE;
        *repeats = sequence.repeats;
        if (alternatives.count == 0)
            first = sequence;
        unsigned index = make_group(p, RESP_SYNTAX_BLOCK, &sequence);
        if (!p->broken)
            append(p, &alternatives, index);
    } while (!p->broken && peek(p) == '|' && p->at++ != NULL);
    if (p->broken || peek(p) != end) {
        p->broken = true;
        return RESP_SYNTAX_NONE;
    }
    p->at++;
    if (alternatives.count > 1 && first_names_all(p, &first, &alternatives)) {
        unsigned rest = node_at(p, alternatives.first)->next;
        struct list choices = {.first = first.last, .last = alternatives.last, .count = alternatives.count};
        node_at(p, first.last)->next = rest;
        unsigned group = make_group(p, RESP_SYNTAX_ONE_OF, &choices);
        give_token(p, group, first.first);
        return group;
    }
    return make_group(p, RESP_SYNTAX_ONE_OF, &alternatives);
}

bool resp_syntax_parse(const char *text, struct resp_syntax *syntax)
{
    struct parser p = {.syntax = syntax, .at = text};
    syntax->count = 1;
    syntax->nodes[0] = (struct resp_syntax_node){0};
    struct list list = parse_sequence(&p, true);
    syntax->first = list.first;
    return !p.broken && peek(&p) == '\0' && !list.repeats;
}
