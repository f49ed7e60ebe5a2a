/* Many programs as the text of one. Text only, no OpenCL. */
#ifndef CLN_SRC_OCL_BUNDLE_H
#define CLN_SRC_OCL_BUNDLE_H

/* Kernel k of section 3 is called "p3_k". */
#define CLN__BUNDLE_PREFIX "p%d_"

/* Section i is texts[i] as if compiled with options[i]. NULL for lack of memory, or if an option is no -D. The caller
 * frees it. */
char *cln__bundle(const char *const *texts, const char *const *options, int count);

#endif
