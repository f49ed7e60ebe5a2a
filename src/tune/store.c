/* The tuner's database. SQLite does the locking, so that several processes may use one file, and keeps it whole when a
 * process is killed. A file that is not ours, damaged, or of a later version is never written to. */
#include "store.h"
#include "../runtime/tuning.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
    APPLICATION = 0x434c4e54, /* "CLNT", in SQLite's header */
    VERSION = 1,              /* of the tables */
    BUSY_MS = 10000           /* how long to wait for other processes */
};

static const char create_table[] = "CREATE TABLE results ("
                                   "device TEXT NOT NULL, driver TEXT NOT NULL, kernels TEXT NOT NULL, "
                                   "signature TEXT NOT NULL, candidate TEXT NOT NULL, rule TEXT NOT NULL, "
                                   "seconds REAL NOT NULL, rule_seconds REAL NOT NULL, time_s INTEGER NOT NULL, "
                                   "PRIMARY KEY (device, driver, kernels, signature))";
static const char insert[] = "INSERT OR REPLACE INTO results (device, driver, kernels, signature, candidate, rule, "
                             "seconds, rule_seconds, time_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
static const char select_all[] = "SELECT device, driver, kernels, signature, candidate, rule, seconds, rule_seconds, "
                                 "time_s FROM results ORDER BY device, driver, kernels, signature";

struct cln_tuning {
    cln_context *ctx;
    char *path;
    sqlite3 *db;
};

static cln_status fail_sql(const cln_tuning *t, const char *what) {
    int code = sqlite3_errcode(t->db);
    bool damaged = code == SQLITE_NOTADB || code == SQLITE_CORRUPT;
    return cln__fail(t->ctx, damaged ? CLN_INVALID_FILE : CLN_IO, "cannot %s the tuner's database '%s': %s%s", what,
                     t->path, sqlite3_errmsg(t->db),
                     damaged ? "; it is left as it is: move it away, or name another one" : "");
}

static cln_status run(const cln_tuning *t, const char *what, const char *sql) {
    return sqlite3_exec(t->db, sql, NULL, NULL, NULL) == SQLITE_OK ? CLN_OK : fail_sql(t, what);
}

/* A whole number that a statement gives. */
static cln_status ask(const cln_tuning *t, const char *sql, int *out) {
    sqlite3_stmt *s = NULL;
    int code = sqlite3_prepare_v2(t->db, sql, -1, &s, NULL);
    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    *out = code == SQLITE_ROW ? sqlite3_column_int(s, 0) : 0;
    cln_status status = code == SQLITE_ROW ? CLN_OK : fail_sql(t, "read");
    sqlite3_finalize(s);
    return status;
}

/* --- opening --- */

static cln_status make_tables(cln_tuning *t) {
    char *sql =
        cln__format("%s; PRAGMA application_id = %d; PRAGMA user_version = %d", create_table, APPLICATION, VERSION);
    cln_status status = sql ? run(t, "write", sql) : cln__fail_memory(t->ctx, "a statement");
    free(sql);
    return status;
}

/* Within a transaction, so that all three are of one moment. */
static cln_status check_version(cln_tuning *t, bool *empty) {
    int application, version, tables;
    CLN_TRY(ask(t, "PRAGMA application_id", &application));
    CLN_TRY(ask(t, "PRAGMA user_version", &version));
    CLN_TRY(ask(t, "SELECT count(*) FROM sqlite_master", &tables));
    *empty = application == 0 && version == 0 && tables == 0;
    if (*empty || (application == APPLICATION && version == VERSION))
        return CLN_OK;
    if (application != APPLICATION)
        return cln__fail(t->ctx, CLN_INVALID_FILE, "'%s' is a database of another program, not the tuner's", t->path);
    return cln__fail(t->ctx, CLN_INVALID_FILE,
                     "the tuner's database '%s' has version %d, this library knows version %d: it is left as it is",
                     t->path, version, VERSION);
}

static cln_status look(cln_tuning *t, bool *empty) {
    CLN_TRY(run(t, "read", "BEGIN"));
    cln_status status = check_version(t, empty);
    sqlite3_exec(t->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* Looked at again under the lock: another process may have been faster. */
static cln_status make_if_empty(cln_tuning *t) {
    bool empty;
    CLN_TRY(look(t, &empty));
    if (!empty)
        return CLN_OK;
    CLN_TRY(run(t, "write", "BEGIN IMMEDIATE"));
    cln_status status = check_version(t, &empty);
    if (status == CLN_OK && empty)
        status = make_tables(t);
    if (status == CLN_OK)
        status = run(t, "write", "COMMIT");
    if (status != CLN_OK)
        sqlite3_exec(t->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

static bool is_absent(const char *path) {
    struct stat info;
    return stat(path, &info) != 0 && errno == ENOENT;
}

static cln_status open_file(cln_tuning *t, bool create, bool *absent) {
    int flags = SQLITE_OPEN_READWRITE | (create ? SQLITE_OPEN_CREATE : 0);
    if (*t->path == '\0') /* which SQLite takes for a temporary one */
        return cln__fail(t->ctx, CLN_INVALID_ARGUMENT, "the file name of the tuner's database is empty");
    int code = sqlite3_open_v2(t->path, &t->db, flags, NULL);
    *absent = !create && code == SQLITE_CANTOPEN && is_absent(t->path);
    if (code != SQLITE_OK)
        return *absent ? CLN_OK : t->db ? fail_sql(t, "open") : cln__fail_memory(t->ctx, "the tuner's database");
    sqlite3_busy_timeout(t->db, BUSY_MS);
    if (create)
        return make_if_empty(t);
    return look(t, absent);
}

cln_status cln_tuning_open(cln_context *ctx, const char *path, bool create, cln_tuning **out) {
    *out = NULL;
    cln_tuning *t = calloc(1, sizeof *t);
    if (!t)
        return cln__fail_memory(ctx, "the tuner's database");
    t->ctx = ctx;
    cln_status status = CLN_OK;
    bool absent = false;
    if (!path)
        status = cln__cache_path(ctx, "tuning.sqlite", create, &t->path);
    else if (!(t->path = cln__format("%s", path)))
        status = cln__fail_memory(ctx, "a file name");
    if (status == CLN_OK && !t->path && create)
        status = cln__fail(ctx, CLN_IO,
                           "there is no place for the tuner's database: neither XDG_CACHE_HOME nor HOME is set");
    if (status == CLN_OK && t->path)
        status = open_file(t, create, &absent);
    if (status == CLN_OK && t->path && !absent)
        *out = t;
    else
        cln_tuning_close(t);
    return status;
}

void cln_tuning_close(cln_tuning *t) {
    if (!t)
        return;
    sqlite3_close(t->db);
    free(t->path);
    free(t);
}

const char *cln_tuning_path(const cln_tuning *tuning) {
    return tuning->path;
}

cln_context *cln__tuning_context(const cln_tuning *tuning) {
    return tuning->ctx;
}

/* --- records --- */

static cln_status bind_and_step(const cln_tuning *t, sqlite3_stmt *s, const cln_tuning_record *r) {
    const char *const texts[] = {r->device, r->driver, r->kernels, r->signature, r->candidate, r->rule};
    int code = SQLITE_OK;
    for (int i = 0; i < 6 && code == SQLITE_OK; i++)
        code = sqlite3_bind_text(s, i + 1, texts[i], -1, SQLITE_STATIC);
    if (code == SQLITE_OK)
        code = sqlite3_bind_double(s, 7, r->seconds);
    if (code == SQLITE_OK)
        code = sqlite3_bind_double(s, 8, r->rule_seconds);
    if (code == SQLITE_OK)
        code = sqlite3_bind_int64(s, 9, r->time_s);
    if (code == SQLITE_OK)
        code = sqlite3_step(s);
    return code == SQLITE_DONE ? CLN_OK : fail_sql(t, "write to");
}

cln_status cln_tuning_save(cln_tuning *t, const cln_tuning_record *record) {
    sqlite3_stmt *s = NULL;
    cln_status status = sqlite3_prepare_v2(t->db, insert, -1, &s, NULL) == SQLITE_OK ? CLN_OK : fail_sql(t, "write to");
    if (status == CLN_OK)
        status = bind_and_step(t, s, record);
    sqlite3_finalize(s);
    return status;
}

cln_status cln__tuning_save_all(cln_tuning *t, const cln_tuning_record *records, int count) {
    CLN_TRY(run(t, "write to", "BEGIN IMMEDIATE"));
    cln_status status = CLN_OK;
    for (int i = 0; i < count && status == CLN_OK; i++)
        status = cln_tuning_save(t, &records[i]);
    if (status == CLN_OK)
        status = run(t, "write to", "COMMIT");
    if (status != CLN_OK)
        sqlite3_exec(t->db, "ROLLBACK", NULL, NULL, NULL);
    return status;
}

/* Records while they are read: their texts are offsets until all are there. */
typedef struct rows {
    int count, capacity;
    size_t used, size;
    cln_tuning_record *of;
    size_t (*at)[6];
    char *text;
} rows;

static void *widen(void *array, size_t count, size_t size) {
    return realloc(array, (count ? count : 1) * size);
}

static bool make_room(rows *r, size_t more) {
    if (r->count == r->capacity) {
        int capacity = r->capacity ? 2 * r->capacity : 64;
        cln_tuning_record *of = widen(r->of, (size_t)capacity, sizeof *of);
        r->of = of ? of : r->of;
        size_t(*at)[6] = of ? widen(r->at, (size_t)capacity, sizeof *at) : NULL;
        r->at = at ? at : r->at;
        if (!at)
            return false;
        r->capacity = capacity;
    }
    if (r->used + more <= r->size)
        return true;
    char *text = widen(r->text, 2 * (r->used + more), 1);
    if (!text)
        return false;
    r->text = text;
    r->size = 2 * (r->used + more);
    return true;
}

static bool add_row(rows *r, sqlite3_stmt *s) {
    for (int i = 0; i < 6; i++) {
        const char *text = (const char *)sqlite3_column_text(s, i);
        size_t size = strlen(text ? text : "") + 1;
        if (!make_room(r, size))
            return false;
        memcpy(r->text + r->used, text ? text : "", size);
        r->at[r->count][i] = r->used;
        r->used += size;
    }
    r->of[r->count++] = (cln_tuning_record){.seconds = sqlite3_column_double(s, 6),
                                            .rule_seconds = sqlite3_column_double(s, 7),
                                            .time_s = sqlite3_column_int64(s, 8)};
    return true;
}

/* One block: the records, then their texts. */
static cln_tuning_record *join(const rows *r) {
    size_t records = sizeof *r->of * ((size_t)r->count + 1);
    cln_tuning_record *out = malloc(records + r->used);
    if (!out)
        return NULL;
    char *text = (char *)out + records;
    if (r->used)
        memcpy(text, r->text, r->used);
    for (int i = 0; i < r->count; i++) {
        out[i] = r->of[i];
        out[i].device = text + r->at[i][0];
        out[i].driver = text + r->at[i][1];
        out[i].kernels = text + r->at[i][2];
        out[i].signature = text + r->at[i][3];
        out[i].candidate = text + r->at[i][4];
        out[i].rule = text + r->at[i][5];
    }
    return out;
}

static cln_status read_rows(const cln_tuning *t, sqlite3_stmt *s, rows *r) {
    int code;
    while ((code = sqlite3_step(s)) == SQLITE_ROW)
        if (!add_row(r, s))
            return cln__fail_memory(t->ctx, "the tuner's results");
    return code == SQLITE_DONE ? CLN_OK : fail_sql(t, "read");
}

cln_status cln_tuning_records(cln_tuning *t, cln_tuning_record **out, int *count) {
    sqlite3_stmt *s = NULL;
    rows r = {.count = 0};
    cln_status status =
        sqlite3_prepare_v2(t->db, select_all, -1, &s, NULL) == SQLITE_OK ? read_rows(t, s, &r) : fail_sql(t, "read");
    sqlite3_finalize(s);
    *out = status == CLN_OK ? join(&r) : NULL;
    *count = r.count;
    if (status == CLN_OK && !*out)
        status = cln__fail_memory(t->ctx, "the tuner's results");
    free(r.of);
    free(r.at);
    free(r.text);
    return status;
}

/* --- for one device --- */

/* Drivers write what they like; what is exported can be imported: UTF-8 without control characters. */
static void make_plain(char *text) {
    for (; *text; text++)
        if ((unsigned char)*text >= 0x7f || (unsigned char)*text < 0x20)
            *text = '?';
}

void cln_tuning_key(const cln_device *device, char *text, cln_tuning_record *record) {
    const cln_device_info *info = cln_device_get_info(device);
    char *driver = text + CLN_TUNING_KEY / 2 - 32, *kernels = text + CLN_TUNING_KEY - 32;
    snprintf(text, CLN_TUNING_KEY / 2 - 32, "%.200s, %d compute units", info->name, info->compute_units);
    snprintf(driver, CLN_TUNING_KEY / 2, "%.200s; %.200s", info->driver_version, info->version);
    cln__kernels_hash(kernels);
    make_plain(text);
    make_plain(driver);
    record->device = text;
    record->driver = driver;
    record->kernels = kernels;
}

bool cln__tuning_same_key(const cln_tuning_record *a, const cln_tuning_record *b) {
    return strcmp(a->device, b->device) == 0 && strcmp(a->driver, b->driver) == 0 &&
           strcmp(a->kernels, b->kernels) == 0;
}

static cln_status load(cln_tuning *t, const cln_device *device, cln_choices *out) {
    char text[CLN_TUNING_KEY];
    cln_tuning_record key, *records;
    int count;
    cln_tuning_key(device, text, &key);
    CLN_TRY(cln_tuning_records(t, &records, &count));
    bool made = cln__choices_begin(out, count);
    for (int i = 0; i < count && made; i++)
        if (cln__tuning_same_key(&records[i], &key))
            made = cln__choices_add(out, records[i].signature, records[i].candidate);
    free(records);
    if (made)
        return CLN_OK;
    cln_choices_free(out);
    return cln__fail_memory(t->ctx, "the tuner's results");
}

cln_status cln_choices_load(cln_context *ctx, const cln_device *device, const char *path, cln_choices *out) {
    cln_tuning *t;
    *out = (cln_choices){0};
    cln_status status = cln_tuning_open(ctx, path, false, &t);
    if (t)
        status = load(t, device, out);
    cln_tuning_close(t);
    if (status != CLN_INVALID_FILE && status != CLN_IO)
        return status;
    char *why = cln__error_copy(ctx);
    if (why)
        cln__warn(ctx, "kernels are used as if never tuned: %s", why);
    free(why);
    return CLN_OK;
}
