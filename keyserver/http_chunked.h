// Chunked bodies (RFC 9112 section 7.1), decoded in place. Private to http.c.
#ifndef MEC_KEYSERVER_HTTP_CHUNKED_H
#define MEC_KEYSERVER_HTTP_CHUNKED_H

#include "keyserver/http.h"

// Decodes what is in buf[r->in .. len) to buf[r->out ..), r->out <= r->in. HTTP_DONE when the last chunk and
// the (ignored, bounded) trailer have been read; HTTP_MORE; 400 or 413.
int http_chunked_read(struct http_reader *r, size_t body_max, char *buf, size_t len);

#endif
