// `edge-sim serve`: the HTTPS edge. `edge-sim load`: the load generators. Each takes the arguments behind its
// own word(s) (argv[0] is skipped) and returns the exit status.
#ifndef MEC_EDGE_SIM_SERVE_H
#define MEC_EDGE_SIM_SERVE_H

int serve_main(int argc, char **argv);
int load_main(int argc, char **argv);
int load_lookup_main(int argc, char **argv);

#endif
