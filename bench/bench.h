/* The commands of clbench; each takes what follows its name on the command line (argv[0] is the name) and returns the
 * exit status. */
#ifndef CLN_BENCH_H
#define CLN_BENCH_H

int bench_verify(int argc, char **argv);
int bench_peak(int argc, char **argv);
int bench_train(int argc, char **argv);
int bench_infer(int argc, char **argv);
int bench_ops(int argc, char **argv);
int bench_tune(int argc, char **argv);

#endif
