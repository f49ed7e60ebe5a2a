/* Capabilities that no device stands behind. */
#include "caps.h"

cln__caps cln__caps_default(void) {
    return (cln__caps){
        .is_cpu = true,
        .compute_units = 2,
        .block = 16,
        .work_group = 1,
        .items_target = 32,
        .max_work_group = 4096,
        .max_alloc_bytes = (uint64_t)1 << 30,
        .memory_bytes = (uint64_t)4 << 30,
        .local_bytes = 512 << 10,
        .private_bytes = 3 << 20,
        .alignment_bytes = 128,
    };
}
