/* What happens to a run when the world around it fails: a device that is lost or has no memory, a clock that goes back,
 * a locale with decimal commas, names of any kind. The programs are those of tests/faults, whose calls can be made to
 * fail; that every single call may fail is for faults.py. */
#include "clnet/models.h"
#include "events.h"
#include "files.h"
#include "runs.h"
#include "suite.h"
#include "tiny.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FIT RUN_FIT "--epochs 2 --save-every 0 "

static int faulty(const char *fault, const char *arguments) {
    char before[256];
    snprintf(before, sizeof before, "CLNET_FAULT='%s'", fault);
    run r = run_start_program("faults_cltrain", before, arguments);
    return run_end(&r);
}

static void succeeds(const char *before, const char *arguments) {
    int status = run_all(before, arguments);
    ck_assert_msg(status == 0, "%s: status %d: %s", arguments, status, run_errors);
}

static void tells(int status, int expected, const char *part) {
    ck_assert_msg(status == expected, "status %d: %s", status, run_errors);
    ck_assert_msg(strstr(run_errors, part) != NULL, "expected '%s', found: %s", part, run_errors);
    ck_assert_msg(strchr(run_errors, '\n')[1] == '\0', "more than one message: %s", run_errors);
}

/* Launches of kernels until the middle of the second epoch. */
START_TEST(lost_device) {
    static const char *const faults[] = {"lost:200:-2", "lost:200:-5", "lost:230:-36"};
    static const char *const words[] = {"CL_DEVICE_NOT_AVAILABLE (-2) on device", "CL_OUT_OF_RESOURCES (-5)",
                                        "CL_INVALID_COMMAND_QUEUE (-36)"};
    char arguments[1024], name[16];
    snprintf(name, sizeof name, "lost-%d", _i);
    snprintf(arguments, sizeof arguments, FIT "--out %s", name);
    tells(faulty(faults[_i], arguments), 6, words[_i]);
    ck_assert_msg(strstr(run_errors, "the same command with --resume last goes on from there\n") != NULL, "%s",
                  run_errors);
    ck_assert_msg(strstr(run_errors, "it was lost, by a reset or a removal") || _i > 0, "%s", run_errors);
    ck_assert_ptr_nonnull(strstr(run_errors, "the run is saved after "));
    snprintf(arguments, sizeof arguments, FIT "--out %s --resume last", name);
    succeeds("", arguments);
    runs_same("whole", name);
}
END_TEST

/* A driver may say yes to a buffer and find out that there is no memory when it is first used, or in any launch. */
START_TEST(memory_that_is_not_there) {
    tells(faulty("clCreateBuffer:1:-4", FIT "--out none"), 7, "clCreateBuffer failed with");
    tells(faulty("clEnqueueFillBuffer:2:-4", FIT "--out none"), 7, "CL_MEM_OBJECT_ALLOCATION_FAILURE (-4) on device");
    ck_assert_ptr_nonnull(strstr(run_errors, "it has no memory left; a smaller batch needs less"));
    tells(faulty("clEnqueueNDRangeKernel:200:-4", FIT "--out late"), 7, "clEnqueueNDRangeKernel failed with");
    ck_assert_ptr_nonnull(strstr(run_errors, "the same command with --resume last goes on from there\n"));
    succeeds("", FIT "--out late --resume last");
    runs_same("whole", "late");
}
END_TEST

/* Of the checks, the one for which there is no memory says nothing of the device; the others are made. How many
 * allocations come before the checks depends on the devices that are there. */
START_TEST(checks_without_memory) {
    int status = 0;
    for (int at = 40; at < 80 && (status != 7 || !strstr(run_errors, "could not be made")); at++) {
        char fault[32];
        snprintf(fault, sizeof fault, "CLNET_FAULT=calloc:%d", at);
        run r = run_start_program("faults_clbench", fault, "verify --self");
        status = run_end(&r);
    }
    tells(status, 7, "clbench: verify: 1 of 38 checks could not be made: not enough memory");
    ck_assert_msg(strstr(run_output, "FAIL self: ") && strstr(run_output, ": not enough memory on the host"), "%s",
                  run_output);
    ck_assert_ptr_nonnull(strstr(run_output, "\n37 passed, 1 failed\n"));
}
END_TEST

/* The speeds, which runs_same leaves out, are of a clock too. */
START_TEST(clock_that_goes_back) {
    int status = faulty("clock:1+", FIT "--out back");
    ck_assert_msg(status == 0, "status %d: %s", status, run_errors);
    runs_same("whole", "back");
    char *metrics = run_read("back/metrics.csv", NULL), *line = strchr(metrics, '\n') + 1;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = '\0';
        ck_assert_msg(atof(strrchr(line, ',') + 1) > 0, "%s", line);
    }
    free(metrics);
    run r = run_start_program("faults_clbench", "CLNET_FAULT=clock:1+",
                              "infer --model ResNet --hparams '{\"num_blocks\": [1], \"c_hidden\": [8]}' "
                              "--batch-size 4 --num-warm-iter 1 --num-bench-iter 2 --json");
    ck_assert_msg(run_end(&r) == 0, "%s", run_errors);
    const char *speed = strstr(run_output, "\"images_per_s\":");
    ck_assert_msg(speed && atof(speed + strlen("\"images_per_s\":")) > 0, "%s", run_output);
}
END_TEST

/* Spaces, quotes, letters that are not ASCII, bytes that are not UTF-8, and as long as a file system allows. */
START_TEST(names_of_any_kind) {
    static const char *const names[] = {"a b  c", "größe/日本", "per%cent%s", "-dash", "bytes-\xff\xfe", NULL};
    char longest[201], arguments[1024], path[256];
    memset(longest, 'n', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    for (int i = 0; i < 6; i++) {
        snprintf(path, sizeof path, "./%s", names[i] ? names[i] : longest);
        snprintf(arguments, sizeof arguments, FIT "--out '%s'", path);
        succeeds("", arguments);
        runs_same("whole", path);
    }
    /* Longer than it allows: words, and nothing beside. */
    snprintf(arguments, sizeof arguments, FIT "--out %s%s", longest, longest);
    tells(run_all("", arguments), 4, "File name too long");
}
END_TEST

/* Nothing of the environment is needed; pocl alone wants a folder for its own cache. */
START_TEST(no_home) {
    succeeds("env -i PATH=/usr/bin:/bin POCL_CACHE_DIR=\"${POCL_CACHE_DIR:-$HOME/.cache/pocl}\" sh -c '\"$0\" \"$@\"' ",
             FIT "--out homeless");
    runs_same("whole", "homeless");
}
END_TEST

/* A program that uses the library may have set a locale where numbers have commas. The files have points. */
START_TEST(decimal_commas) {
    char command[256], *locales = path_of(run_root, "locales"), *data = path_of(run_root, "data"), *out[2];
    folder_make(run_root, "locales");
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' 2>/dev/null", locales);
    bool made = system(command) == 0;
    setenv("LOCPATH", locales, 1);
    for (int i = 0; i < 2; i++) {
        out[i] = path_of(run_root, i ? "comma" : "point");
        if (i && (!made || !setlocale(LC_ALL, "de_DE.UTF-8"))) {
            skip("decimal commas", "localedef cannot make the locale de_DE");
            break;
        }
        cln_recipe recipe = *cln_model_find("ResNet")->recipe;
        recipe.epochs = 2;
        recipe.batch_size = 16;
        cln_fit_options o = {.model = cln_model_find("ResNet"),
                             .recipe = recipe,
                             .data = data,
                             .validation = 20,
                             .normalize = "0.5,0.25,0.125/0.5,0.25,0.125",
                             .label_smoothing = 0.1f,
                             .limit_train_batches = 2,
                             .seed = 1,
                             .out = out[i]};
        cln_fit_result result;
        ok(cln_fit(ctx, device, &o, &result));
        if (i) {
            ck_assert_str_eq(localeconv()->decimal_point, ",");
            runs_same("point", "comma");
        }
    }
    setlocale(LC_ALL, "C");
    unsetenv("LOCPATH");
    free(locales);
    free(data);
    free(out[0]);
    free(out[1]);
}
END_TEST

static void set_up(void) {
    run_root = run_folder_new();
    succeeds("", FIT "--out whole");
}

static void tear_down(void) {
    folder_remove(run_root);
}

static void add_tests(TCase *tests) {
    tcase_add_unchecked_fixture(tests, set_up, tear_down);
    tcase_add_loop_test(tests, lost_device, 0, 3);
    tcase_add_test(tests, memory_that_is_not_there);
    tcase_add_test(tests, checks_without_memory);
    tcase_add_test(tests, clock_that_goes_back);
    tcase_add_test(tests, names_of_any_kind);
    tcase_add_test(tests, no_home);
    tcase_add_test(tests, decimal_commas);
}

int main(void) {
    const char *programs = getenv("CLNET_BIN_DIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/faults_cltrain", programs ? programs : "");
    if (access(path, X_OK) != 0)
        return printf("skipped: there is no %s (no --wrap in this build, or a sanitizer)\n", path) < 0;
    return suite_run_on_device("faults", add_tests);
}
