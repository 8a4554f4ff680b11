// The files of keyserver/live/, as the build puts them into the program (mec_embed in cmake/targets.cmake).
#ifndef MEC_KEYSERVER_LIVE_FILES_H
#define MEC_KEYSERVER_LIVE_FILES_H

#include "common/admin.h"

#define LIVE_FILES 4
extern const struct admin_file live_files[LIVE_FILES];

#endif
