// The subcommands of `certs`, one file each. argv[0] is the subcommand's name; the result is the exit status.
// Errors have been reported.
#ifndef MEC_CERTS_COMMANDS_H
#define MEC_CERTS_COMMANDS_H

int cmd_pki(int argc, char *const *argv);
int cmd_master_key(int argc, char *const *argv);
int cmd_import(int argc, char *const *argv);
int cmd_list(int argc, char *const *argv);
int cmd_show(int argc, char *const *argv);
int cmd_export(int argc, char *const *argv);
int cmd_delete(int argc, char *const *argv);
int cmd_recode(int argc, char *const *argv);
int cmd_rekey(int argc, char *const *argv);
int cmd_verify(int argc, char *const *argv);

#endif
