// The `syntax` strings of the tables (command.h) as trees of arguments, as COMMAND DOCS shows them.
//
//   key value [NX|XX] [GET] [EX seconds|PX milliseconds]
//
// Words in small letters are arguments, others are tokens, which name the argument behind them: "EX seconds". [..] is optional, <..> holds together, | parts alternatives
// (of all that is between the brackets; outside of them of two words), "key [key ...]" may come several times.
#ifndef MEC_KVSTORE_RESP_SYNTAX_H
#define MEC_KVSTORE_RESP_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

#define RESP_SYNTAX_NODES 96u
#define RESP_SYNTAX_NONE  0u // no node: nodes[0] is not used

enum resp_syntax_kind { RESP_SYNTAX_ARGUMENT, RESP_SYNTAX_TOKEN, RESP_SYNTAX_ONE_OF, RESP_SYNTAX_BLOCK };

struct resp_syntax_node {
    enum resp_syntax_kind kind;
    char name[48];     // of a token: in small letters
    const char *token; // within the syntax string; NULL: none
    size_t token_len;
    bool optional, multiple, multiple_token;
    unsigned children, next; // indices
};

struct resp_syntax {
    struct resp_syntax_node nodes[RESP_SYNTAX_NODES];
    unsigned count;
    unsigned first; // of the arguments
};

// False: brackets that do not match, a | with nothing at its side, too many parts: a mistake in a table. The tree points into the text.
bool resp_syntax_parse(const char *text, struct resp_syntax *syntax);

#endif
