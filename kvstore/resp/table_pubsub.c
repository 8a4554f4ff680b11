// The table of commands: publish and subscribe.
#include "kvstore/resp/table.h"

#define BASE   (PUB | LOAD | ST)
#define LISTEN (BASE | NOS | RESP_CMD_WHEN_LISTENING)

static const struct resp_command pubsub_subcommands[] = {
    SUB("channels", -2, BASE, "2.8.0", "List active channels", "[pattern]", resp_cmd_pubsub_channels),
    SUB("help", 2, LOAD | ST, "6.2.0", "Show helpful text about the different subcommands", NULL,
        resp_cmd_help),
    SUB("numpat", 2, BASE, "2.8.0", "Get the count of unique patterns pattern subscriptions", NULL,
        resp_cmd_pubsub_numpat),
    SUB("numsub", -2, BASE, "2.8.0", "Get the count of subscribers for channels", "[channel [channel ...]]",
        resp_cmd_pubsub_numsub),
    SUB("shardchannels", -2, BASE, "7.0.0", "List active shard channels", "[pattern]",
        resp_cmd_pubsub_shardchannels),
    SUB("shardnumsub", -2, BASE, "7.0.0", "Get the count of subscribers for shard channels",
        "[shardchannel [shardchannel ...]]", resp_cmd_pubsub_shardnumsub),
};

static const struct resp_command commands[] = {
    CMD("psubscribe", -2, LISTEN, KEYLESS, "pubsub", "2.0.0",
        "Listen for messages published to channels matching the given patterns", "pattern [pattern ...]",
        "O(N) where N is the number of patterns the client is already subscribed to.", resp_cmd_psubscribe),
    CMD("publish", 3, BASE | F, KEYLESS, "pubsub", "2.0.0", "Post a message to a channel", "channel message",
        "O(N+M) where N is the number of clients subscribed to the receiving channel and M is the total "
        "number of subscribed patterns (by any client).",
        resp_cmd_publish),
    CONTAINER("pubsub", -2, 0, "pubsub", "2.8.0", "A container for Pub/Sub commands", NULL,
              pubsub_subcommands),
    CMD("punsubscribe", -1, LISTEN, KEYLESS, "pubsub", "2.0.0",
        "Stop listening for messages posted to channels matching the given patterns",
        "[pattern [pattern ...]]",
        "O(N+M) where N is the number of patterns the client is already subscribed and M is the number of "
        "total patterns subscribed in the system (by any client).",
        resp_cmd_punsubscribe),
    CMD("spublish", 3, BASE | F, ONE_KEY, "pubsub", "7.0.0", "Post a message to a shard channel",
        "shardchannel message",
        "O(N) where N is the number of clients subscribed to the receiving shard channel.",
        resp_cmd_spublish),
    CMD("ssubscribe", -2, LISTEN, ALL_KEYS, "pubsub", "7.0.0",
        "Listen for messages published to the given shard channels", "shardchannel [shardchannel ...]",
        "O(N) where N is the number of shard channels to subscribe to.", resp_cmd_ssubscribe),
    CMD("subscribe", -2, LISTEN, KEYLESS, "pubsub", "2.0.0",
        "Listen for messages published to the given channels", "channel [channel ...]",
        "O(N) where N is the number of channels to subscribe to.", resp_cmd_subscribe),
    CMD("sunsubscribe", -1, LISTEN, ALL_KEYS, "pubsub", "7.0.0",
        "Stop listening for messages posted to the given shard channels", "[shardchannel [shardchannel ...]]",
        "O(N) where N is the number of clients already subscribed to a shard channel.",
        resp_cmd_sunsubscribe),
    CMD("unsubscribe", -1, LISTEN, KEYLESS, "pubsub", "2.0.0",
        "Stop listening for messages posted to the given channels", "[channel [channel ...]]",
        "O(N) where N is the number of clients already subscribed to a channel.", resp_cmd_unsubscribe),
};
TABLE(resp_table_pubsub);
