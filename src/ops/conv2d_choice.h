/* The choice among conv2d's variants beyond the rules: see conv2d_choice.c. */
#ifndef CLN_SRC_CONV2D_CHOICE_H
#define CLN_SRC_CONV2D_CHOICE_H

#include "conv2d.h"

typedef struct cln__conv2d_choice {
    const cln__conv2d_variant *variant;
    char parameters[CLN__PARAMETERS]; /* "": its own choice */
} cln__conv2d_choice;

/* What does `p`, with all that is fused into it, which the rules give to `rule`. Records the decision. */
cln_status cln__conv2d_choose(cln__lowering *l, const cln__conv2d *p, const cln__conv2d_variant *const *variants,
                              int count, const cln__conv2d_variant *rule, cln__conv2d_choice *choice);

#endif
