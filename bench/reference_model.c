/* The networks that the self-check trains, written down once more: residual and densely connected ones. Their modules
 * have the names of models/resnet.c and models/densenet.c. */
#include "reference.h"

#include <stdio.h>
#include <string.h>

typedef struct model {
    reference *r;
    cln_activation act;
    int classes;
    char prefix[48]; /* of the block being built */
} model;

/* "<prefix>.<name>" in `text`. */
static const char *layer_name(const model *m, const char *name, char text[REFERENCE_NAME]) {
    snprintf(text, REFERENCE_NAME, "%s.%s", m->prefix, name);
    return text;
}

static reference_node *conv(const model *m, reference_node *x, const char *name, int channels, int kernel, int stride,
                            bool bias) {
    char text[REFERENCE_NAME];
    const reference_window window = {kernel, kernel, stride, kernel / 2, 1, 1};
    return reference_conv2d(m->r, x, m->prefix[0] ? layer_name(m, name, text) : name, channels, &window, bias);
}

static reference_node *norm(const model *m, reference_node *x, const char *name) {
    char text[REFERENCE_NAME];
    return reference_batchnorm(m->r, x, m->prefix[0] ? layer_name(m, name, text) : name, 1e-5, 0.1, false);
}

static reference_node *norm_act(const model *m, reference_node *x, const char *name) {
    return reference_activate(m->r, norm(m, x, name), m->act);
}

static reference_node *classifier(const model *m, reference_node *x, const char *name) {
    return reference_linear(m->r, reference_global_avgpool(m->r, x), name, m->classes);
}

/* --- hyper-parameters --- */

static const cJSON *list(const model *m, const char *name) {
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(m->r->c->attributes, name);
    if (!cJSON_IsArray(value) || !cJSON_GetArraySize(value))
        verify_fail(m->r->c, "'%s' is not a list of numbers", name);
    return value;
}

static int element(const cJSON *values, int index) {
    const cJSON *value = cJSON_GetArrayItem(values, index);
    return value ? value->valueint : 0;
}

/* --- networks --- */

static reference_node *plain_block(const model *m, reference_node *x, int channels, int stride) {
    reference_node *y = conv(m, x, "net.0", channels, 3, stride, false);
    y = norm_act(m, y, "net.1");
    y = conv(m, y, "net.3", channels, 3, 1, false);
    y = norm(m, y, "net.4");
    if (stride > 1)
        x = conv(m, x, "downsample", channels, 1, stride, true);
    return reference_activate(m->r, reference_add(m->r, y, x), m->act);
}

static reference_node *preact_block(const model *m, reference_node *x, int channels, int stride) {
    reference_node *y = conv(m, norm_act(m, x, "net.0"), "net.2", channels, 3, stride, false);
    y = conv(m, norm_act(m, y, "net.3"), "net.5", channels, 3, 1, false);
    if (stride > 1)
        x = conv(m, norm_act(m, x, "downsample.0"), "downsample.2", channels, 1, stride, false);
    return reference_add(m->r, y, x);
}

static reference_node *residual(model *m, reference_node *x, bool preact) {
    const cJSON *channels = list(m, "c_hidden"), *blocks = list(m, "num_blocks");
    x = conv(m, x, "input_net.0", element(channels, 0), 3, 1, false);
    if (!preact)
        x = norm_act(m, x, "input_net.1");
    int index = 0;
    for (int group = 0; group < cJSON_GetArraySize(blocks); group++)
        for (int i = 0; i < element(blocks, group); i++) {
            snprintf(m->prefix, sizeof m->prefix, "blocks.%d", index++);
            x = (preact ? preact_block : plain_block)(m, x, element(channels, group), group > 0 && i == 0 ? 2 : 1);
        }
    m->prefix[0] = '\0';
    return classifier(m, x, "output_net.2");
}

static reference_node *dense(model *m, reference_node *x) {
    const cJSON *layers = list(m, "num_layers");
    int growth, bottleneck, module = 0;
    if (!verify_int(m->r->c, "growth_rate", 16, &growth) || !verify_int(m->r->c, "bn_size", 2, &bottleneck))
        return NULL;
    bottleneck *= growth;
    x = conv(m, x, "input_net.0", bottleneck, 3, 1, true);
    for (int block = 0; block < cJSON_GetArraySize(layers); block++, module++) {
        for (int i = 0; i < element(layers, block); i++) {
            snprintf(m->prefix, sizeof m->prefix, "blocks.%d.block.%d", module, i);
            reference_node *y = conv(m, norm_act(m, x, "net.0"), "net.2", bottleneck, 1, 1, false);
            y = conv(m, norm_act(m, y, "net.3"), "net.5", growth, 3, 1, false);
            x = reference_concat(m->r, (reference_node *[]){y, x}, 2);
        }
        if (!x || block + 1 == cJSON_GetArraySize(layers))
            continue;
        snprintf(m->prefix, sizeof m->prefix, "blocks.%d.transition", ++module);
        x = conv(m, norm_act(m, x, "0"), "2", (int)x->shape.c / 2, 1, 1, false);
        x = reference_avgpool(m->r, x, 2, 2, 0);
    }
    m->prefix[0] = '\0';
    return classifier(m, norm_act(m, x, "output_net.0"), "output_net.4");
}

reference_node *reference_model(reference *r, reference_node *x) {
    model m = {.r = r};
    const char *name = verify_metadata(r->c, "model");
    const cJSON *act = cJSON_GetObjectItemCaseSensitive(r->c->attributes, "act_fn_name");
    if (!name || !x || !verify_int(r->c, "num_classes", 10, &m.classes))
        return NULL;
    if (!cln_activation_parse(cJSON_IsString(act) ? act->valuestring : "relu", &m.act)) {
        verify_fail(r->c, "unknown activation");
        return NULL;
    }
    if (strcmp(name, "DenseNet") == 0)
        return dense(&m, x);
    if (strcmp(name, "ResNet") == 0 || strcmp(name, "ResNetPreAct") == 0)
        return residual(&m, x, name[6] != '\0');
    verify_fail(r->c, "the reference has no model '%.80s'", name);
    return NULL;
}
