#include "keyserver/access_gate.h"

#include "common/clock.h"
#include "keyserver/peer.h"

static struct access_ask ask_of(const struct keyop *op)
{
    return (struct access_ask){
        .method = op->request.method, .protocol = op->request.protocol, .spki = op->request.spki};
}

// Takes the token, counts, and tells the operation.
static bool settle(struct keyop *op, struct access_verdict *verdict, const struct stats *stats)
{
    access_take(op->peer->pass, verdict, clock_ns());
    op->undecided = false;
    op->policy_line = verdict->line;
    if (verdict->outcome == ACCESS_ALLOW) {
        metric_add(stats->policy_allowed, 1);
        return true;
    }
    metric_add(stats->policy_denied[verdict->reason], 1);
    op->denied = access_reason_word(verdict->reason);
    op->status = SKI_DENIED;
    return false;
}

bool access_at_door(struct keyop *op, const struct stats *stats)
{
    if (op->peer->pass == NULL && !op->peer->migration)
        return true;
    if (op->peer->pass == NULL) { // never without a policy
        op->status = SKI_DENIED;
        op->denied = access_reason_word(ACCESS_BY_EDGE);
        return false;
    }
    const struct access_ask ask = ask_of(op);
    struct access_verdict verdict = access_decide(op->peer->pass, &ask, NULL);
    if (verdict.outcome != ACCESS_UNDECIDED)
        return settle(op, &verdict, stats);
    op->undecided = true;
    return true;
}

bool access_at_key(struct keyop *op, const struct access_key *key, const struct stats *stats)
{
    const struct access_ask ask = ask_of(op);
    struct access_verdict verdict = {.outcome = ACCESS_DENY, .reason = ACCESS_BY_KEY};
    if (key != NULL)
        verdict = access_decide(op->peer->pass, &ask, key);
    return settle(op, &verdict, stats);
}
