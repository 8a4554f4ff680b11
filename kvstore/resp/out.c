#include "kvstore/resp/out.h"

#include <stdlib.h>
#include <string.h>

// ---- blocks

static struct resp_block *new_block(struct resp_out *out, size_t cap)
{
    struct resp_block *block = malloc(sizeof *block + cap);
    if (block == NULL)
        return NULL;
    *block = (struct resp_block){.cap = cap};
    if (out->last != NULL)
        out->last->next = block;
    else
        out->first = block;
    out->last = block;
    return block;
}

static size_t left(const struct resp_block *block)
{
    return block != NULL ? block->cap - block->len : 0;
}

static size_t bytes_of(const struct resp_block *block)
{
    return block->len + block->lent_bytes;
}

// Releases the views of a block but the first so many.
static void release_from(struct resp_out *out, struct resp_block *block, unsigned first)
{
    while (block->views > first) {
        struct resp_lent *lent = &block->lent[--block->views];
        block->lent_bytes -= lent->view.len;
        out->views--;
        kv_view_release(lent->store, &lent->view);
    }
}

static void free_block(struct resp_out *out, struct resp_block *block)
{
    release_from(out, block, 0);
    free(block->lent);
    free(block);
}

static void free_from(struct resp_out *out, struct resp_block *block)
{
    while (block != NULL) {
        struct resp_block *next = block->next;
        free_block(out, block);
        block = next;
    }
}

void resp_out_clear(struct resp_out *out)
{
    free_from(out, out->first);
    *out = (struct resp_out){0};
}

// Nothing is in it any more; a block is kept for what comes next.
static void empty(struct resp_out *out)
{
    struct resp_block *kept = out->first;
    if (kept == NULL || kept->cap > RESP_BLOCK_BYTES) {
        resp_out_clear(out);
        return;
    }
    free_from(out, kept->next);
    release_from(out, kept, 0);
    kept->next = NULL;
    kept->len = kept->start = 0;
    *out = (struct resp_out){.first = kept, .last = kept};
}

// ---- adding

uint8_t *resp_out_room(struct resp_out *out, size_t len)
{
    struct resp_block *block = out->last;
    if (left(block) < len &&
        (block = new_block(out, len > RESP_BLOCK_BYTES ? len : RESP_BLOCK_BYTES)) == NULL)
        return NULL;
    uint8_t *room = block->data + block->len;
    block->len += len;
    out->length += len;
    return room;
}

bool resp_out_add(struct resp_out *out, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    size_t now = left(out->last) < len ? left(out->last) : len; // fills the last block up first
    if (now != 0) {
        memcpy(resp_out_room(out, now), bytes, now);
        bytes += now;
        len -= now;
    }
    uint8_t *room = len != 0 ? resp_out_room(out, len) : NULL;
    if (room != NULL)
        memcpy(room, bytes, len);
    return room != NULL || len == 0;
}

bool resp_out_lend(struct resp_out *out, struct kv_store *store, const struct kv_view *view)
{
    struct resp_block *block = out->last;
    if ((block == NULL || block->views == RESP_BLOCK_VIEWS) &&
        (block = new_block(out, RESP_BLOCK_BYTES)) == NULL)
        return false;
    if (block->lent == NULL && (block->lent = malloc(RESP_BLOCK_VIEWS * sizeof *block->lent)) == NULL)
        return false;
    block->lent[block->views++] = (struct resp_lent){store, *view, block->len};
    block->lent_bytes += view->len;
    out->length += view->len;
    out->views++;
    return true;
}

bool resp_out_own(struct resp_out *out)
{
    struct resp_out own = {0};
    struct iovec piece;
    bool good = true;
    if (out->views == 0)
        return true;
    while (good && resp_out_pieces(out, &piece, 1) == 1) {
        good = resp_out_add(&own, piece.iov_base, piece.iov_len);
        resp_out_drop(out, piece.iov_len);
    }
    if (out->length == 0 && own.length == 0)
        empty(out); // its block goes on being used
    else
        resp_out_clear(out);
    if (!good)
        resp_out_clear(&own);
    if (own.length != 0)
        *out = own;
    return good;
}

void resp_out_take_spare(struct resp_out *out, struct resp_out *from)
{
    if (out->first != NULL || from->first == NULL || from->length != 0)
        return;
    *out = *from;
    *from = (struct resp_out){0};
}

void resp_out_append(struct resp_out *out, struct resp_out *from)
{
    if (from->length == 0) // a spare block stays where it is
        return;
    if (out->length == 0) {
        resp_out_clear(out);
        *out = *from;
    } else {
        out->last->next = from->first;
        out->last = from->last;
        out->length += from->length;
        out->views += from->views;
    }
    *from = (struct resp_out){0};
}

// ---- back to a mark

struct resp_out_mark resp_out_mark(const struct resp_out *out)
{
    const struct resp_block *last = out->last;
    return (struct resp_out_mark){.last = out->last,
                                  .last_len = last != NULL ? last->len : 0,
                                  .last_views = last != NULL ? last->views : 0,
                                  .length = out->length};
}

void resp_out_rewind(struct resp_out *out, const struct resp_out_mark *mark)
{
    if (mark->length == 0) { // also when an empty block was kept: resp_out_append() may have freed it
        empty(out);
        return;
    }
    free_from(out, mark->last->next);
    release_from(out, mark->last, mark->last_views);
    mark->last->next = NULL;
    mark->last->len = mark->last_len;
    out->last = mark->last;
    out->length = mark->length;
}

// ---- taking

// The pieces of a block: bytes of its own are at even places, views between them.
static struct iovec piece_of(const struct resp_block *block, unsigned place)
{
    unsigned i = place / 2;
    if (place % 2 != 0) // sendmsg() and the like only read
        return (struct iovec){(void *)(uintptr_t)block->lent[i].view.data, block->lent[i].view.len};
    size_t from = i != 0 ? block->lent[i - 1].at : 0;
    size_t to = i < block->views ? block->lent[i].at : block->len;
    return (struct iovec){(void *)(uintptr_t)(block->data + from), to - from};
}

size_t resp_out_pieces(const struct resp_out *out, struct iovec *pieces, size_t max)
{
    size_t count = 0;
    for (const struct resp_block *block = out->first; block != NULL; block = block->next) {
        size_t taken = block->start;
        for (unsigned place = 0; place <= 2 * block->views && count < max; place++) {
            struct iovec piece = piece_of(block, place);
            if (piece.iov_len <= taken) {
                taken -= piece.iov_len;
                continue;
            }
            pieces[count++] = (struct iovec){(uint8_t *)piece.iov_base + taken, piece.iov_len - taken};
            taken = 0;
        }
        if (count == max)
            break;
    }
    return count;
}

void resp_out_drop(struct resp_out *out, size_t len)
{
    out->length -= len;
    while (out->first != NULL) {
        struct resp_block *block = out->first;
        size_t rest = bytes_of(block) - block->start, now = len < rest ? len : rest;
        block->start += now;
        len -= now;
        if (now < rest)
            return;
        if (block->next == NULL) { // the last: kept for what comes next
            empty(out);
            return;
        }
        out->first = block->next;
        free_block(out, block);
    }
}
