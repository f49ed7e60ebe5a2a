/* The commands of cltrain: each takes its own argv (argv[0] is the command's name, argv[-1] the program's) and
 * returns the exit status. */
#ifndef CLN_SRC_COMMANDS_H
#define CLN_SRC_COMMANDS_H

#define CLI_PROGRAM "cltrain"

int cmd_fit(int argc, char **argv);
int cmd_test(int argc, char **argv);
int cmd_summary(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_models(int argc, char **argv);

#endif
