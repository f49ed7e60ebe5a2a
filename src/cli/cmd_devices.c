/* cltrain devices: what --device can choose among. */
#include "commands.h"
#include "options.h"
#include "report.h"

#include <stdlib.h>

static cJSON *to_json(const cln_device_info *d) {
    cJSON *object = cJSON_CreateObject();
    char index[32];
    snprintf(index, sizeof index, "%d:%d", d->platform, d->device);
    cln__json_add(object, "index", cJSON_CreateString(index));
    cln__json_add(object, "name", cJSON_CreateString(d->name));
    cln__json_add(object, "type", cJSON_CreateString(report_device_type(d)));
    cln__json_add(object, "vendor", cJSON_CreateString(d->vendor));
    cln__json_add(object, "platform", cJSON_CreateString(d->platform_name));
    cln__json_add(object, "version", cJSON_CreateString(d->version));
    cln__json_add(object, "driver_version", cJSON_CreateString(d->driver_version));
    cln__json_add(object, "available", cJSON_CreateBool(d->available));
    cln__json_add(object, "compute_units", cJSON_CreateNumber(d->compute_units));
    cln__json_add(object, "clock_mhz", cJSON_CreateNumber(d->clock_mhz));
    cln__json_add(object, "memory_bytes", cJSON_CreateNumber((double)d->memory_bytes));
    cln__json_add(object, "max_alloc_bytes", cJSON_CreateNumber((double)d->max_alloc_bytes));
    cln__json_add(object, "local_bytes", cJSON_CreateNumber((double)d->local_bytes));
    cln__json_add(object, "max_work_group", cJSON_CreateNumber((double)d->max_work_group));
    cln__json_add(object, "address_bits", cJSON_CreateNumber(d->address_bits));
    cln__json_add(object, "extensions", cJSON_CreateString(d->extensions));
    cln__json_add(object, "denormals", cJSON_CreateBool(d->denormals));
    cln__json_add(object, "fp16", cJSON_CreateBool(d->fp16));
    cln__json_add(object, "fp64", cJSON_CreateBool(d->fp64));
    return object;
}

static void print(const cln_device_info *d) {
    char memory[32], single[32];
    printf("%d:%d  %s%s\n", d->platform, d->device, d->name, d->available ? "" : "  (not available)");
    printf("     %s, %d compute units at %d MHz, %s of memory (%s in one piece), fp16 %s, fp64 %s\n",
           report_device_type(d), d->compute_units, d->clock_mhz, report_bytes(d->memory_bytes, memory),
           report_bytes(d->max_alloc_bytes, single), d->fp16 ? "yes" : "no", d->fp64 ? "yes" : "no");
    printf("     %s, %s, driver %s\n", d->platform_name, d->version, d->driver_version);
}

typedef struct arguments {
    bool json;
} arguments;

#define AT(member) offsetof(arguments, member)

static const cli_option options[] = {{.name = "json", .offset = AT(json), .help = "print JSON, an array"},
                                     {.name = NULL}};

static int run_command(int argc, char **argv) {
    arguments a = {.json = false};
    int exit_status;
    if (!cli_parse(&devices_command, &a, argc, argv, NULL, &exit_status))
        return exit_status;
    cln_context *ctx;
    if (cln_context_new(&ctx) != CLN_OK)
        return report_no_memory(CLI_PROGRAM);
    cln_device_info *devices = NULL;
    size_t count = 0;
    cln_status status = cln_device_list(ctx, &devices, &count);
    exit_status = report_end(CLI_PROGRAM, ctx, status);
    cJSON *array = a.json && status == CLN_OK ? cJSON_CreateArray() : NULL;
    for (size_t i = 0; status == CLN_OK && i < count; i++)
        if (a.json)
            cln__json_append(array, to_json(&devices[i]));
        else
            print(&devices[i]);
    if (a.json && status == CLN_OK)
        exit_status = report_json(CLI_PROGRAM, array);
    free(devices);
    cln_context_free(ctx);
    return exit_status;
}

const cli_command devices_command = {
    CLI_PROGRAM,
    "devices",
    "list the OpenCL devices",
    "Lists the devices of every OpenCL platform. --device of the other commands takes the "
    "index,\n\"cpu\", \"gpu\" or a part of the name.",
    NULL,
    CLI_ONE_GROUP(options),
    run_command};
