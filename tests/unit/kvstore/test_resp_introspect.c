// COMMAND: what the tables say of commands, in Redis's forms; the syntax strings of all tables.
#include <stdio.h>
#include <string.h>

#include "kvstore/resp/docs.h"
#include "kvstore/resp/keyspec.h"
#include "kvstore/resp/syntax.h"
#include "tests/unit/kvstore/resp_kit.h"

#define EXPECT_HAS(line, part)                                                                               \
    do {                                                                                                     \
        const char *text_ = resp_kit_run(line);                                                              \
        if (strstr(text_, part) == NULL)                                                                     \
            fail_msg("%s: found %s", line, text_);                                                           \
    } while (0)

static void info(void **state)
{
    (void)state;
    EXPECT_HAS(
        "command info get",
        "*1\r\n*10\r\n$3\r\nget\r\n:2\r\n*2\r\n+readonly\r\n+fast\r\n:1\r\n:1\r\n:1\r\n"
        "*3\r\n+@read\r\n+@string\r\n+@fast\r\n*0\r\n*1\r\n*6\r\n$5\r\nflags\r\n*2\r\n+RO\r\n+access\r\n"
        "$12\r\nbegin_search\r\n*4\r\n$4\r\ntype\r\n$5\r\nindex\r\n$4\r\nspec\r\n*2\r\n$5\r\nindex\r\n:1\r\n"
        "$9\r\nfind_keys\r\n*4\r\n$4\r\ntype\r\n$5\r\nrange\r\n$4\r\nspec\r\n*6\r\n$7\r\nlastkey\r\n:0\r\n"
        "$7\r\nkeystep\r\n:1\r\n$5\r\nlimit\r\n:0\r\n*0\r\n");
    EXPECT_HAS("command info mget", "$7\r\nlastkey\r\n:-1\r\n");
    EXPECT_HAS("command info auth",
               "*6\r\n+noscript\r\n+loading\r\n+stale\r\n+fast\r\n+no_auth\r\n+allow_busy\r\n");
    EXPECT_HAS("command info client|kill",
               "*4\r\n+admin\r\n+noscript\r\n+loading\r\n+stale\r\n:0\r\n:0\r\n:0\r\n"
               "*4\r\n+@admin\r\n+@slow\r\n+@dangerous\r\n+@connection\r\n");
    EXPECT_HAS("command info client", "*0\r\n:0\r\n:0\r\n:0\r\n*1\r\n+@slow\r\n");
    EXPECT_HAS("command info set", "$5\r\nnotes\r\n");
    EXPECT_HAS("command info nope client|nope nope|get", "*3\r\n$-1\r\n$-1\r\n$-1\r\n");
    assert_null(strstr(resp_kit_run("command list"), "host:"));
}

static void count_and_list(void **state)
{
    size_t shown = 0;
    char expected[32];
    (void)state;
    for (size_t i = 0; i < resp_command_count(); i++)
        shown += (resp_command_at(i)->flags & RESP_CMD_HIDDEN) == 0;
    (void)snprintf(expected, sizeof expected, ":%zu\r\n", shown);
    EXPECT("command count", expected);
    (void)snprintf(expected, sizeof expected, "*%zu\r\n", shown);
    assert_int_equal(strncmp(resp_kit_run("command"), expected, strlen(expected)), 0);
    EXPECT("command list filterby pattern strle?", "*1\r\n$6\r\nstrlen\r\n");
    EXPECT("command list filterby pattern client|set*",
           "*2\r\n$14\r\nclient|setinfo\r\n$14\r\nclient|setname\r\n");
    EXPECT_HAS("command list filterby aclcat connection", "$9\r\nclient|id\r\n");
    assert_null(strstr(resp_kit_run("command list filterby aclcat connection"), "$3\r\nget\r\n"));
    EXPECT("command list filterby aclcat nope", "*0\r\n");
    EXPECT("command list filterby module x", "*0\r\n");
    EXPECT("command list filterby", "-ERR syntax error\r\n");
    EXPECT("command list filterby foo bar", "-ERR syntax error\r\n");
    EXPECT("command list x", "-ERR syntax error\r\n");
    EXPECT("command count x", "-ERR wrong number of arguments for 'command|count' command\r\n");
}

static void docs(void **state)
{
    (void)state;
    EXPECT("command docs nope", "*0\r\n");
    EXPECT_HAS(
        "command docs get nope",
        "*2\r\n$3\r\nget\r\n*10\r\n$7\r\nsummary\r\n$22\r\nGet the value of a "
        "key\r\n$5\r\nsince\r\n$5\r\n1.0.0\r\n"
        "$5\r\ngroup\r\n$6\r\nstring\r\n$10\r\ncomplexity\r\n$4\r\nO(1)\r\n$9\r\narguments\r\n*1\r\n*6\r\n"
        "$4\r\nname\r\n$3\r\nkey\r\n$4\r\ntype\r\n$3\r\nkey\r\n$14\r\nkey_spec_index\r\n:0\r\n");
    EXPECT_HAS("command docs client|pause",
               "$4\r\ntype\r\n$5\r\noneof\r\n$5\r\nflags\r\n*1\r\n+optional\r\n$9\r\narguments\r\n*2\r\n");
    EXPECT_HAS("command docs set",
               "$4\r\nname\r\n$17\r\nunix-time-seconds\r\n$4\r\ntype\r\n$9\r\nunix-time\r\n"
               "$5\r\ntoken\r\n$4\r\nEXAT\r\n");
    EXPECT_HAS("command docs mget", "$5\r\nflags\r\n*1\r\n+multiple\r\n");
    EXPECT_HAS("command docs client", "$11\r\nsubcommands\r\n");
    EXPECT_HAS("command docs cluster|keyslot", "$3\r\nkey\r\n$4\r\ntype\r\n$6\r\nstring\r\n");
}

static void docs_beyond_the_tables(void **state)
{
    (void)state;
    EXPECT_HAS(
        "command docs getset",
        "*16\r\n$7\r\nsummary\r\n$54\r\nSet the string value of a key and return its old value\r\n"
        "$5\r\nsince\r\n$5\r\n1.0.0\r\n$5\r\ngroup\r\n$6\r\nstring\r\n$10\r\ncomplexity\r\n$4\r\nO(1)\r\n"
        "$9\r\ndoc_flags\r\n*1\r\n+deprecated\r\n$16\r\ndeprecated_since\r\n$5\r\n6.2.0\r\n"
        "$11\r\nreplaced_by\r\n$30\r\n`SET` with the `!GET` argument\r\n$9\r\narguments\r\n");
    EXPECT_HAS("command docs replconf", "$9\r\ndoc_flags\r\n*1\r\n+syscmd\r\n");
    EXPECT_HAS("command docs cluster|slots",
               "$7\r\nhistory\r\n*2\r\n*2\r\n$5\r\n4.0.0\r\n$15\r\nAdded node IDs.\r\n"
               "*2\r\n$5\r\n7.0.0\r\n$43\r\nAdded additional networking metadata field.\r\n");
    assert_null(resp_docs_find("nope"));
    assert_null(resp_docs_find(""));
}

// Proves: the table of more is sorted, and no subcommand was forgotten.
static void subcommands_have_a_complexity(void **state)
{
    (void)state;
    for (size_t i = 0; i < resp_command_count(); i++) {
        const struct resp_command *container = resp_command_at(i);
        for (size_t sub = 0; sub < container->subcommand_count; sub++) {
            const struct resp_command *command = &container->subcommands[sub];
            char name[64];
            const struct resp_docs *more =
                resp_docs_find(resp_command_full_name(command, container, name, sizeof name));
            if (command->complexity == NULL && (more == NULL || more->complexity == NULL))
                fail_msg("%s has no complexity", name);
        }
    }
}

static void modules(void **state)
{
    (void)state;
    EXPECT("module list", "*0\r\n");
    EXPECT("module load /x.so a", "-ERR MODULE command not allowed. This server loads no modules.\r\n");
    EXPECT("module loadex /x.so", "-ERR MODULE command not allowed. This server loads no modules.\r\n");
    EXPECT("module unload x", "-ERR MODULE command not allowed. This server loads no modules.\r\n");
    EXPECT("module load", "-ERR wrong number of arguments for 'module|load' command\r\n");
    EXPECT("module list x", "-ERR wrong number of arguments for 'module|list' command\r\n");
    EXPECT("module", "-ERR wrong number of arguments for 'module' command\r\n");
    EXPECT("module nope", "-ERR unknown subcommand 'nope'. Try MODULE HELP.\r\n");
    EXPECT("multi", "+OK\r\n"); // refused at once, as in Redis
    EXPECT("module unload x", "-ERR MODULE command not allowed. This server loads no modules.\r\n");
    EXPECT("module list", "+QUEUED\r\n");
    EXPECT("exec", "-EXECABORT Transaction discarded because of previous errors.\r\n");
    EXPECT_HAS("module help", "+MODULE <subcommand> [<arg> [value] [opt] ...]. Subcommands are:\r\n");
}

static void lolwut(void **state)
{
    static const char *const good[] = {"lolwut",
                                       "lolwut version",
                                       "lolwut version 5",
                                       "lolwut version 6",
                                       "lolwut version 99 x",
                                       "lolwut x y",
                                       "LOLWUT Version 6 1 2 x",
                                       "lolwut version 5 1 2 3 x"};
    static const char *const bad[] = {"lolwut version x", "lolwut version 5 x", "lolwut version 5 1 2 x",
                                      "lolwut version 6 1 x"};
    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const char *text = resp_kit_run(good[i]);
        if (text[0] != '$' || strstr(text, " Redis ver. 7.0.15\n\r\n") == NULL)
            fail_msg("%s: found %s", good[i], text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        EXPECT(bad[i], "-ERR value is not an integer or out of range\r\n");
    (void)resp_kit_run("hello 3");
    EXPECT_HAS("lolwut", "\r\ntxt:  |");
}

static void getkeys(void **state)
{
    (void)state;
    EXPECT("command getkeys get a", "*1\r\n$1\r\na\r\n");
    EXPECT("command getkeys del a b c", "*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n");
    EXPECT("command getkeys nope a", "-ERR Invalid command specified\r\n");
    EXPECT("command getkeys client nope", "-ERR Invalid command specified\r\n");
    EXPECT("command getkeys time x", "-ERR The command has no key arguments\r\n");
    EXPECT("command getkeys client list x", "-ERR The command has no key arguments\r\n");
    EXPECT("command getkeys get a b", "-ERR Invalid number of arguments specified for command\r\n");
    EXPECT("command getkeys get", "-ERR wrong number of arguments for 'command|getkeys' command\r\n");
    EXPECT("command getkeysandflags get a", "*1\r\n*2\r\n$1\r\na\r\n*2\r\n+RO\r\n+access\r\n");
    EXPECT("command getkeysandflags unlink a b",
           "*2\r\n*2\r\n$1\r\na\r\n*2\r\n+RM\r\n+delete\r\n*2\r\n$1\r\nb\r\n*2\r\n+RM\r\n+delete\r\n");
    EXPECT("command getkeys spublish a b", "-ERR The command has no key arguments\r\n"); // a channel
}

// Proves: what SET and BITFIELD do to their key goes by their arguments.
static void varied_flags(void **state)
{
#define KEY(flags) "*1\r\n*2\r\n$1\r\nk\r\n" flags
#define READS      KEY("*2\r\n+RO\r\n+access\r\n")
#define BOTH       KEY("*3\r\n+RW\r\n+access\r\n+update\r\n")
    (void)state;
    EXPECT("command getkeysandflags set k v ex 5", KEY("*2\r\n+OW\r\n+update\r\n"));
    EXPECT("command getkeysandflags set k get", KEY("*2\r\n+OW\r\n+update\r\n")); // its value
    EXPECT("command getkeysandflags set k v ex 5 GET", BOTH);
    EXPECT("command getkeysandflags bitfield k", READS);
    EXPECT("command getkeysandflags bitfield k get u8 0 overflow sat get u8 1", READS);
    EXPECT("command getkeysandflags bitfield k get u8 0 set u8 0 1", BOTH);
    EXPECT("command getkeysandflags bitfield k incrby u8 0 1", BOTH);
    EXPECT("command getkeysandflags bitfield k get u8", BOTH); // not to be understood
}

// As redis-server 7.0 has them.
static void flags_of_some(void **state)
{
    (void)state;
    EXPECT_HAS("command info role", "*4\r\n+noscript\r\n+loading\r\n+stale\r\n+fast\r\n");
    EXPECT_HAS("command info role", "+@admin\r\n");
    EXPECT_HAS("command info lastsave", "*3\r\n+loading\r\n+stale\r\n+fast\r\n");
    EXPECT_HAS("command info publish", "*4\r\n+pubsub\r\n+loading\r\n+stale\r\n+fast\r\n");
    EXPECT_HAS("command info wait", "+@connection\r\n");
}

// Proves: keys behind the first of another kind have a specification of their own.
static void two_specs(void **state)
{
    struct resp_key_spec specs[RESP_KEY_SPECS];
    const struct resp_command bitop = {
        .name = "bitop", .flags = RESP_CMD_WRITE, .first_key = 2, .last_key = -1, .key_step = 1};
    const struct resp_command copy = {
        .name = "copy", .flags = RESP_CMD_WRITE, .first_key = 1, .last_key = 2, .key_step = 1};
    const struct resp_command mset = {
        .name = "mset", .flags = RESP_CMD_WRITE, .first_key = 1, .last_key = -1, .key_step = 2};
    (void)state;
    assert_int_equal(resp_key_specs(&bitop, NULL, specs), 2);
    assert_true(specs[0].first == 2 && specs[0].last == 0 && specs[1].first == 3 && specs[1].last == -1);
    assert_string_equal(specs[1].flags, "RO access");
    assert_int_equal(resp_key_specs(&copy, NULL, specs), 2);
    assert_true(specs[0].first == 1 && specs[0].last == 0 && specs[1].first == 2 && specs[1].last == 0);
    assert_int_equal(resp_key_specs(&mset, NULL, specs), 1);
    assert_true(specs[0].last == -1 && specs[0].step == 2);
}

// ---- syntax

static char shown[1024];

static void show(const struct resp_syntax *s, unsigned first)
{
    static const char marks[] = {'a', 't', 'o', 'b'};
    for (unsigned i = first; i != RESP_SYNTAX_NONE; i = s->nodes[i].next) {
        const struct resp_syntax_node *n = &s->nodes[i];
        size_t used = strlen(shown);
        (void)snprintf(shown + used, sizeof shown - used, "%c:%s%s%.*s%s%s%s", marks[n->kind], n->name,
                       n->token != NULL ? "=" : "", (int)n->token_len, n->token != NULL ? n->token : "",
                       n->optional ? "?" : "", n->multiple ? "*" : "", n->multiple_token ? "#" : "");
        if (n->children != RESP_SYNTAX_NONE) {
            (void)strcat(shown, "(");
            show(s, n->children);
            (void)strcat(shown, ")");
        }
        (void)strcat(shown, n->next != RESP_SYNTAX_NONE ? " " : "");
    }
}

static const char *parsed(const char *text)
{
    struct resp_syntax s;
    shown[0] = '\0';
    if (!resp_syntax_parse(text, &s))
        return "broken";
    show(&s, s.first);
    return shown;
}

static void syntax(void **state)
{
    (void)state;
    assert_string_equal(parsed("key"), "a:key");
    assert_string_equal(parsed("key [key ...]"), "a:key*");
    assert_string_equal(parsed("a key value [key value ...]"), "a:a b:key_value*(a:key a:value)");
    assert_string_equal(parsed("[section [section ...]]"), "a:section?*");
    assert_string_equal(parsed("k [NX|XX] [GET] [EX seconds|PX milliseconds|KEEPTTL]"),
                        "a:k o:condition?(t:nx=NX t:xx=XX) t:get=GET? "
                        "o:expiration?(a:seconds=EX a:milliseconds=PX t:keepttl=KEEPTTL)");
    assert_string_equal(parsed("[LIMIT offset count]"), "b:offset_count=LIMIT?(a:offset a:count)");
    assert_string_equal(parsed("[GET pattern [GET pattern ...]]"), "a:pattern=GET?*#");
    assert_string_equal(parsed("KEYS key [key ...]"), "a:key=KEYS*");
    assert_string_equal(
        parsed("key [start [end [BYTE|BIT]]]"),
        "a:key b:start_end_byte_bit?(a:start b:end_byte_bit?(a:end o:byte_bit?(t:byte=BYTE t:bit=BIT)))");
    assert_string_equal(parsed("AND|OR|NOT destkey"), "o:and_or_not(t:and=AND t:or=OR t:not=NOT) a:destkey");
    assert_string_equal(parsed("<ON|OFF>"), "o:on_off(t:on=ON t:off=OFF)");
    assert_string_equal(parsed("[OVERFLOW WRAP|SAT]"), "o:wrap_sat=OVERFLOW?(t:wrap=WRAP t:sat=SAT)");
    assert_string_equal(parsed("[OVERFLOW <WRAP|SAT>]"), "o:wrap_sat=OVERFLOW?(t:wrap=WRAP t:sat=SAT)");
    const char *const broken[] = {"[a", "a]",      "<a",    "[]",        "[a|]",
                                  "|a", "[b ...]", "a ...", "a [b ...]", "[|a]"};
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        if (strcmp(parsed(broken[i]), "broken") != 0)
            fail_msg("%s: taken as %s", broken[i], shown);
    }
    char many[4 * RESP_SYNTAX_NODES];
    memset(many, ' ', sizeof many);
    for (size_t i = 0; i < sizeof many; i += 2)
        many[i] = 'a';
    many[sizeof many - 1] = '\0';
    assert_string_equal(parsed(many), "broken");
}

static void check_syntax(const struct resp_command *command)
{
    struct resp_syntax s;
    if (command->syntax != NULL && !resp_syntax_parse(command->syntax, &s))
        fail_msg("%s: syntax \"%s\" cannot be read", command->name, command->syntax);
    for (size_t i = 0; i < command->subcommand_count; i++) {
        if (i != 0 && strcmp(command->subcommands[i - 1].name, command->subcommands[i].name) >= 0)
            fail_msg("%s: subcommands are not sorted at %s", command->name, command->subcommands[i].name);
        check_syntax(&command->subcommands[i]);
    }
}

static void all_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < resp_command_count(); i++)
        check_syntax(resp_command_at(i));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, resp_kit_setup, resp_kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(info),
        TEST(count_and_list),
        TEST(docs),
        TEST(docs_beyond_the_tables),
        TEST(subcommands_have_a_complexity),
        TEST(modules),
        TEST(lolwut),
        TEST(getkeys),
        TEST(varied_flags),
        TEST(flags_of_some),
        TEST(two_specs),
        TEST(syntax),
        TEST(all_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
