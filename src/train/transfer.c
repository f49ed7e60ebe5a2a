/* See transfer.h. The file is known by a checksum of its tensors, so that a run that is gone on with does not need it.
 */
#include "transfer.h"
#include "../graph/graph.h"
#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

static uLong checksum(const cln_weights_file *file) {
    uLong crc = 0;
    for (size_t i = 0; i < cln_weights_file_count(file); i++) {
        const cln_file_tensor *t = cln_weights_file_at(file, i);
        size_t bytes = (size_t)t->count * cln_dtype_size(t->dtype);
        crc = crc32_z(crc, (const unsigned char *)t->name, strlen(t->name) + 1);
        crc = bytes > 0 ? crc32_z(crc, t->data, bytes) : crc; /* data that are NULL would begin anew */
    }
    return crc;
}

static char *record(const cln_weights_file *file) {
    char text[16];
    snprintf(text, sizeof text, "%08lx", (unsigned long)checksum(file));
    cJSON *object = cJSON_CreateObject();
    cln__json_add(object, "checksum", cJSON_CreateString(text));
    return cln__json_print(object);
}

/* The layer that makes the logits: the last one with parameters on the way to them. NULL: there is none. */
static const char *head_of(const cln__network *network) {
    const cln_graph *g = network->graph;
    int tensor = network->logits.id;
    while (tensor >= 0 && g->tensors[tensor].role == CLN__VALUE && g->tensors[tensor].producer >= 0) {
        const cln__node *node = &g->nodes[g->tensors[tensor].producer];
        for (int i = 0; i < node->input_count; i++)
            if (g->tensors[node->inputs[i]].role == CLN__PARAM)
                return node->name;
        tensor = node->input_count > 0 ? node->inputs[0] : -1;
    }
    return NULL;
}

static cln_status take(cln__trainer *t, const cln_weights_file *file) {
    const char *path = t->options->init_weights, *head = head_of(&t->network);
    char *again = NULL;
    CLN_TRY(cln_weights_transfer(t->ctx, t->weights, file, path, head, &t->initialised));
    cln_status status = t->average ? cln_weights_transfer(t->ctx, t->average, file, path, head, &again) : CLN_OK;
    free(again);
    return status;
}

cln_status cln__transfer_read(cln__trainer *t) {
    const char *path = t->options->init_weights;
    const char *before = t->resumed ? cln_safetensors_metadata(t->resumed, "init_weights") : NULL;
    cln_weights_file *file = NULL;
    if (!path)
        return CLN_OK;
    if (!before || access(path, F_OK) == 0)
        CLN_TRY(cln_weights_file_read(t->ctx, path, &file));
    t->initialised_by = file ? record(file) : cln__format("%s", before);
    if (t->resumed)
        cln_weights_file_free(file);
    else
        t->first_weights = file;
    return t->initialised_by ? CLN_OK : cln__fail_memory(t->ctx, "the record of the first weights");
}

cln_status cln__transfer(cln__trainer *t) {
    if (!t->first_weights)
        return CLN_OK;
    cln_status status = take(t, t->first_weights);
    cln_weights_file_free(t->first_weights);
    t->first_weights = NULL;
    return status;
}
