/* See tiny.h. An image is noise around a grey level that its class alone decides, so there is something to learn. */
#include "tiny.h"
#include "clnet/models.h"
#include "files.h"
#include "suite.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILES = 5, RECORD = 3073, PER_FILE = TINY_TRAIN / FILES };

static void fill(unsigned char *records, int count, uint32_t *state) {
    for (int i = 0; i < count; i++, records += RECORD) {
        records[0] = (unsigned char)(i % 10);
        for (int k = 1; k < RECORD; k++) {
            *state = *state * 1664525u + 1013904223u;
            records[k] = (unsigned char)(20 * records[0] + (*state >> 26));
        }
    }
}

void tiny_write(const char *folder) {
    static unsigned char records[TINY_TEST * RECORD];
    static const char names[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n";
    char name[32];
    uint32_t state = 1;
    for (int i = 1; i <= FILES; i++) {
        fill(records, PER_FILE, &state);
        snprintf(name, sizeof name, "data_batch_%d.bin", i);
        file_write(folder, name, records, (size_t)PER_FILE * RECORD);
    }
    fill(records, TINY_TEST, &state);
    file_write(folder, "test_batch.bin", records, sizeof records);
    file_write(folder, "batches.meta.txt", names, strlen(names));
}

char *tiny_data;
void *tiny_hparams;

static void set_up(void) {
    tiny_data = folder_new();
    tiny_write(tiny_data);
    ok(cln_hparams_new(ctx, cln_model_find("ResNet"), TINY_HPARAMS, &tiny_hparams));
}

static void tear_down(void) {
    free(tiny_hparams);
    folder_remove(tiny_data);
}

void tiny_fixture(TCase *tests) {
    tcase_add_unchecked_fixture(tests, set_up, tear_down);
}
