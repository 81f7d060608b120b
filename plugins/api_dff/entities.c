/* SPDX-License-Identifier: Apache-2.0 */
/* All stored entities of the DFF vocabulary (spec Appendix B) as tables. Names are contract: rows
 * are returned with these keys and scripts query these tables. */
#include "entities.h"

/* One column a phrase, one entity a row. */
/* clang-format off */
#define STR(n, len, fl, df) \
    {.name = n, .type = TN_COL_STR, .max_len = len, .flags = fl, .dflt = df}
#define TEXT(n, fl)          {.name = n, .type = TN_COL_TEXT, .flags = fl}
#define JSON(n, fl)          {.name = n, .type = TN_COL_JSON, .flags = fl}
#define INT(n, fl, df)       {.name = n, .type = TN_COL_INT, .flags = fl, .dflt = df}
#define BOOL(n)              {.name = n, .type = TN_COL_BOOL, .flags = TN_COL_NOT_NULL, .dflt = "0"}
#define TIME(n)              {.name = n, .type = TN_COL_TIME}
#define LIST(n)              {.name = n, .type = TN_COL_LIST}
#define ID(len)              STR("id", len, NN | TN_COL_UNIQUE, NULL)
#define END                  {.name = NULL}
#define NN  TN_COL_NOT_NULL
#define HID TN_COL_HIDDEN
#define IDX TN_COL_INDEX
#define SEAL TN_COL_SEALED /* what calls were given and told: a copied file must not tell it */
#define COLUMNS static const tn_column
/* The group that a record belongs to; the kernel keeps the newest of each. */
#define GROUP STR("recordGroup", 512, HID | IDX, NULL)
#define NAMES   static const char *const
#define NO_JOIN {.entity = NULL}

/* What several entities show of the function they point to, its script and its set. */
NAMES func_shown[] = {"id", "name", "title", "description", "definition", "argsJSON", "kwargsJSON",
                      "extraConfigJSON", "category", "integration", "tagsJSON", NULL};
NAMES cron_func_shown[] = {"id", "name", "title", "description", "definition", "extraConfigJSON",
                           "category", "integration", "tagsJSON", NULL};
NAMES scpt_shown[] = {"id", "title", "description", "publishVersion", NULL};
NAMES func_scpt_shown[] = {"id", "title", "description", "publishVersion", "codeMD5", NULL};
NAMES sset_shown[] = {"id", "title", "description", NULL};
NAMES apia_shown[] = {"id", "title", "type", NULL};
NAMES scpt_sset_shown[] = {"id", "title", "description", "origin", "originId", "lockedByUserId",
    NULL};
/* Joined users show up under "_lu_" and are renamed to lockedByUserUsername by the row hooks. */
NAMES lock_shown[] = {"username", "name", NULL};
NAMES smkt_shown[] = {"id", "title", "type", "configJSON", NULL};
NAMES ak_user_shown[] = {"id", "username", "name", "mobile", NULL};
NAMES oprd_user_shown[] = {"id", "username", "name", "mobile", NULL};

#define JOIN_FUNC(left, shown)                                                                    \
    {"func", "func", left, "id", "func_", shown},                                                 \
    {"script", "scpt", "func.scriptId", "id", "scpt_", scpt_shown},                               \
    {"scriptSet", "sset", "func.scriptSetId", "id", "sset_", sset_shown}

COLUMNS task_record[] = {
    ID(64), STR("name", 64, NN | IDX, NULL), JSON("kwargsJSON", SEAL),
    INT("triggerTimeMs", NN | IDX, NULL), INT("startTimeMs", NN, NULL), INT("endTimeMs", NN, NULL),
    TEXT("eta", 0), INT("delay", NN, NULL), INT("queue", NN | IDX, NULL), INT("timeout", NN, NULL),
    INT("expires", NN, NULL), BOOL("ignoreResult"), JSON("resultJSON", SEAL),
    STR("status", 64, NN | IDX, NULL), STR("exceptionType", 128, 0, NULL), TEXT("exceptionTEXT", SEAL),
    TEXT("tracebackTEXT", SEAL), TEXT("nonCriticalErrorsTEXT", 0), GROUP, END};

COLUMNS task_record_func[] = {
    ID(64), STR("rootTaskId", 64, IDX, "'ROOT'"), STR("scriptSetId", 256, NN | IDX, NULL),
    STR("scriptId", 256, NN | IDX, NULL), STR("funcId", 256, NN | IDX, NULL),
    JSON("funcCallKwargsJSON", SEAL), STR("origin", 64, NN | IDX, "'UNKNOWN'"),
    STR("originId", 256, NN | IDX, "'UNKNOWN'"), STR("cronExpr", 64, 0, NULL),
    JSON("callChainJSON", 0), INT("triggerTimeMs", NN | IDX, NULL), INT("startTimeMs", NN, NULL),
    INT("endTimeMs", NN, NULL), TEXT("eta", 0), INT("delay", NN, NULL), INT("queue", NN | IDX,
    NULL),
    INT("timeout", NN, NULL), INT("expires", NN, NULL), BOOL("ignoreResult"),
    STR("status", 64, NN | IDX, NULL), STR("exceptionType", 128, 0, NULL), TEXT("exceptionTEXT", SEAL),
    TEXT("tracebackTEXT", SEAL), TEXT("nonCriticalErrorsTEXT", 0), TEXT("printLogsTEXT", SEAL),
    JSON("returnValueJSON", SEAL), JSON("responseControlJSON", SEAL), INT("costMs", 0, NULL),
    INT("peakMemoryUsage", 0, NULL), INT("attempt", 0, NULL), INT("maxAttempts", 0, NULL), GROUP,
    END};
static const tn_join task_func_joins[] = {JOIN_FUNC("task.funcId", func_shown), NO_JOIN};

COLUMNS api_auth[] = {ID(64), STR("title", 256, 0, NULL), STR("type", 64, NN, NULL),
                      JSON("configJSON", NN), TEXT("note", 0), END};

COLUMNS sync_api[] = {
    ID(64), STR("funcId", 256, NN, NULL), JSON("funcCallKwargsJSON", 0), JSON("tagsJSON", 0),
    STR("apiAuthId", 64, 0, NULL), TIME("expireTime"), JSON("throttlingJSON", 0),
    STR("origin", 64, NN | IDX, "'UNKNOWN'"), STR("originId", 64, NN | IDX, "'UNKNOWN'"),
    BOOL("showInDoc"), INT("taskRecordLimit", 0, NULL), BOOL("isDisabled"), TEXT("note", 0), END};
static const tn_join sync_joins[] = {JOIN_FUNC("sapi.funcId", func_shown),
    {"apiAuth", "apia", "sapi.apiAuthId", "id", "apia_", apia_shown}, NO_JOIN};

COLUMNS async_api[] = {
    ID(64), STR("funcId", 256, NN, NULL), JSON("funcCallKwargsJSON", 0), JSON("tagsJSON", 0),
    STR("apiAuthId", 64, 0, NULL), STR("origin", 64, NN | IDX, "'UNKNOWN'"),
    STR("originId", 64, NN | IDX, "'UNKNOWN'"), BOOL("showInDoc"), INT("taskRecordLimit", 0, NULL),
    BOOL("isDisabled"), TEXT("note", 0), END};
static const tn_join async_joins[] = {JOIN_FUNC("aapi.funcId", func_shown),
    {"apiAuth", "apia", "aapi.apiAuthId", "id", "apia_", apia_shown}, NO_JOIN};

COLUMNS blueprint[] = {ID(64), STR("title", 256, 0, NULL), TEXT("description", 0),
                       JSON("canvasJSON", NN), JSON("viewJSON", NN), END};

COLUMNS connector[] = {ID(64), STR("title", 256, 0, NULL), TEXT("description", 0),
                       STR("type", 64, NN, NULL), JSON("configJSON", NN), BOOL("isBuiltin"),
                       TIME("pinTime"), END};

COLUMNS cron_job[] = {
    ID(64), STR("funcId", 256, NN, NULL), JSON("funcCallKwargsJSON", 0), STR("cronExpr", 64, 0,
    NULL),
    STR("timezone", 256, 0, NULL), JSON("tagsJSON", 0), STR("scope", 256, NN, "'GLOBAL'"),
    STR("configMD5", 32, 0, NULL), TIME("expireTime"), STR("origin", 64, NN | IDX, "'UNKNOWN'"),
    STR("originId", 64, NN | IDX, "'UNKNOWN'"), INT("taskRecordLimit", 0, NULL), BOOL("isDisabled"),
    TEXT("note", 0), STR("overlapPolicy", 16, NN, "'skip'"), STR("catchUpPolicy", 16, NN, "'none'"),
    INT("catchUpWindow", NN, "86400"), END};
/* What scripts have set for a job: an expression, a pause. The id is the job's. */
COLUMNS cron_job_state[] = {ID(320), STR("dynamicCronExpr", 256, 0, NULL),
                            TIME("dynamicCronExprExpireTime"), TIME("pauseExpireTime"), END};
COLUMNS temporary_flag[] = {ID(64), JSON("valueJSON", 0), TIME("expireTime"), END};
static const tn_join cron_joins[] = {JOIN_FUNC("cron.funcId", cron_func_shown), NO_JOIN};
NAMES cron_uniques[] = {"scope,configMD5", NULL};

COLUMNS env_variable[] = {
    ID(64), STR("title", 256, 0, NULL), TEXT("description", 0),
    STR("autoTypeCasting", 64, NN, "'string'"), TEXT("valueTEXT", NN), TIME("pinTime"), END};

COLUMNS file_service[] = {ID(64), TEXT("root", 0), BOOL("isDisabled"), TEXT("note", 0), END};

COLUMNS func[] = {
    ID(256), STR("scriptSetId", 64, NN | IDX, NULL), STR("scriptId", 64, NN | IDX, NULL),
    STR("name", 64, NN | IDX, NULL), STR("title", 256, 0, NULL), TEXT("description", 0),
    TEXT("definition", NN), JSON("argsJSON", 0), JSON("kwargsJSON", 0), JSON("extraConfigJSON", 0),
    STR("category", 64, NN | IDX, "'general'"), STR("integration", 64, IDX, NULL),
    JSON("tagsJSON", 0), INT("defOrder", NN, "0"), END};
static const tn_join func_joins[] = {
    {"script", "scpt", "func.scriptId", "id", "scpt_", func_scpt_shown},
    {"scriptSet", "sset", "func.scriptSetId", "id", "sset_", sset_shown}, NO_JOIN};

COLUMNS func_store[] = {ID(64), STR("scope", 256, NN, "'GLOBAL'"), STR("key", 256, NN, NULL),
                        JSON("valueJSON", NN), INT("expireAt", 0, NULL), END};
NAMES func_store_uniques[] = {"scope,key", NULL};

COLUMNS operation_record[] = {
    ID(64), STR("userId", 64, IDX, NULL), STR("username", 128, IDX, NULL),
    STR("clientId", 128, IDX, NULL), JSON("clientIPsJSON", 0), STR("traceId", 128, IDX, NULL),
    STR("reqMethod", 64, IDX, NULL), STR("reqRoute", 256, IDX, NULL), JSON("reqQueryJSON", 0),
    JSON("reqParamsJSON", 0), JSON("reqBodyJSON", 0), JSON("reqFileInfoJSON", 0),
    INT("reqCost", 0, NULL), INT("respStatusCode", 0, NULL), JSON("respBodyJSON", 0), GROUP, END};
static const tn_join oprd_joins[] = {
    {"user", "u", "oprd.userId", "id", "u_", oprd_user_shown}, NO_JOIN};

/* Requests that were slow or failed (spec 1.12). */
COLUMNS abnormal_request[] = {ID(64), JSON("requestJSON", SEAL), GROUP, END};

COLUMNS script[] = {
    ID(64), STR("scriptSetId", 64, NN | IDX, NULL), STR("title", 256, 0, NULL),
    TEXT("description", 0), INT("publishVersion", NN, "0"), STR("type", 64, NN, "'python'"),
    TEXT("code", HID), STR("codeMD5", 64, 0, NULL), TEXT("codeDraft", HID),
    STR("codeDraftMD5", 64, 0, NULL), STR("lockedByUserId", 64, 0, NULL), END};
static const tn_join script_joins[] = {
    {"user", "lu", "scpt.lockedByUserId", "id", "_lu_", lock_shown},
    {"scriptSet", "sset", "scpt.scriptSetId", "id", "sset_", scpt_sset_shown},
    {"user", "slu", "sset.lockedByUserId", "id", "_slu_", lock_shown}, NO_JOIN};

COLUMNS script_market[] = {
    ID(64), STR("title", 256, 0, NULL), TEXT("description", 0), STR("type", 64, NN, NULL),
    JSON("configJSON", 0), JSON("extraJSON", 0), STR("lockedByUserId", 64, 0, NULL),
    TIME("pinTime"),
    END};

COLUMNS script_publish_history[] = {
    ID(64), STR("scriptId", 64, NN | IDX, NULL), INT("scriptPublishVersion", NN, NULL),
    TEXT("scriptCode_cache", NN), TEXT("note", 0), END};

COLUMNS script_recover_point[] = {ID(64), STR("type", 64, NN, "'manual'"), JSON("tableDumpJSON",
    HID),
                                  TEXT("exportData", HID), TEXT("note", 0), END};

COLUMNS script_set[] = {
    ID(64), STR("title", 256, 0, NULL), TEXT("description", 0), TEXT("requirements", 0),
    STR("origin", 64, NN, "'UNKNOWN'"), STR("originId", 64, NN | IDX, "'UNKNOWN'"),
    STR("originMD5", 64, 0, NULL), STR("lockedByUserId", 64, 0, NULL), TIME("pinTime"), END};
static const tn_join script_set_joins[] = {
    {"user", "lu", "sset.lockedByUserId", "id", "_lu_", lock_shown},
    {"scriptMarket", "smkt", "sset.originId", "id", "smkt_", smkt_shown}, NO_JOIN};

COLUMNS script_set_export_history[] = {ID(64), TEXT("note", 0), JSON("summaryJSON", NN), END};
COLUMNS script_set_import_history[] = {ID(64), TEXT("note", 0), JSON("summaryJSON", NN), END};

COLUMNS access_key[] = {
    ID(64), STR("userId", 64, NN | IDX, NULL), STR("title", 256, NN, NULL), TEXT("secretCipher",
    HID),
    TEXT("webhookURL", 0), TEXT("webhookEvents", 0), BOOL("allowWebhookEcho"), END};
static const tn_join ak_joins[] = {
    {"user", "u", "ak.userId", "id", "u_", ak_user_shown}, NO_JOIN};

/* Nonces of signed requests, named by a hash over key and nonce; survive a restart (spec 1.1). */
COLUMNS access_key_nonce[] = {ID(64), INT("expireMs", NN | IDX, NULL), END};

COLUMNS system_setting[] = {ID(64), TEXT("value", NN), END};

COLUMNS user[] = {
    ID(64), STR("username", 64, NN | TN_COL_UNIQUE, NULL), TEXT("passwordHash", HID),
    STR("name", 256, 0, NULL), STR("email", 256, 0, NULL), STR("mobile", 32, 0, NULL),
    LIST("markers"), LIST("roles"), LIST("customPrivileges"), BOOL("isDisabled"), END};

/* How the last run of an API or cron job ended; the id is theirs (spec 1.9). */
COLUMNS last_task_status[] = {ID(256), STR("status", 16, NN, NULL), INT("atUs", NN, "0"),
                              TEXT("exceptionType", 0), TEXT("exceptionTEXT", SEAL), END};

/* Failed sign-ins per user name and per client address; survives a restart (reliability F). */
COLUMNS sign_in_guard[] = {ID(128), INT("failures", NN, "0"), INT("waitUntilMs", NN, "0"),
                           INT("lastMs", NN | IDX, "0"), END};

#define ENTITY(name_, alias_, table_, prefix_, random_, cols, joins_, uniques_, order_)           \
    {.name = name_, .alias = alias_, .table = table_, .id_prefix = prefix_, .id_random = random_, \
     .columns = cols, .joins = joins_, .uniques = uniques_, .order = order_}
#define PLAIN(name_, alias_, table_, prefix_, cols)                                               \
    ENTITY(name_, alias_, table_, prefix_, 12, cols, NULL, NULL, alias_ ".seq DESC")

#define RECORDS(name_, alias_, table_, prefix_, cols, joins_)                                     \
    {.name = name_, .alias = alias_, .table = table_, .id_prefix = prefix_, .id_random = 12,      \
     .flags = TN_ENTITY_RECORDS, .columns = cols, .joins = joins_, .order = alias_ ".seq DESC"}

const tn_entity api_entities[] = {
    RECORDS("taskRecord", "task", "biz_main_task_record", "task-", task_record, NULL),
    RECORDS("taskRecordFunc", "task", "biz_main_task_record_func", "task-", task_record_func,
            task_func_joins),
    RECORDS("operationRecord", "oprd", "biz_main_operation_record", "oprd-", operation_record,
            oprd_joins),
    RECORDS("abnormalRequest", "abn", "tn_abnormal_request", "abn-", abnormal_request, NULL),
    ENTITY("apiAuth", "apia", "biz_main_api_auth", "apia-", 12, api_auth, NULL, NULL,
    "apia.seq ASC"),
    ENTITY("syncAPI", "sapi", "biz_main_sync_api", "sapi-", 12, sync_api, sync_joins, NULL,
           "sapi.seq DESC"),
    ENTITY("asyncAPI", "aapi", "biz_main_async_api", "aapi-", 12, async_api, async_joins, NULL,
           "aapi.seq DESC"),
    PLAIN("blueprint", "blpt", "biz_main_blueprint", "blpt-", blueprint),
    ENTITY("connector", "cnct", "biz_main_connector", "cnct-", 12, connector, NULL, NULL,
           "cnct.pinTime DESC, cnct.id ASC"),
    ENTITY("cronJob", "cron", "biz_main_cron_job", "cron-", 12, cron_job, cron_joins, cron_uniques,
           "cron.seq DESC"),
    PLAIN("cronJobState", "crst", "biz_main_cron_job_state", "crst-", cron_job_state),
    PLAIN("temporaryFlag", "flag", "wat_main_temporary_flag", "flag-", temporary_flag),
    ENTITY("envVariable", "evar", "biz_main_env_variable", "evar-", 12, env_variable, NULL, NULL,
           "evar.pinTime DESC, evar.id ASC"),
    PLAIN("fileService", "fsvc", "biz_main_file_service", "fsvc-", file_service),
    ENTITY("func", "func", "biz_main_func", "func-", 12, func, func_joins, NULL, "func.seq DESC"),
    ENTITY("funcStore", "fnst", "biz_main_func_store", "fnst-", 12, func_store, NULL,
           func_store_uniques, "fnst.seq DESC"),
    ENTITY("script", "scpt", "biz_main_script", "scpt-", 12, script, script_joins, NULL,
           "scpt.scriptSetId ASC, scpt.id ASC"),
    PLAIN("scriptMarket", "smkt", "biz_main_script_market", "smkt-", script_market),
    PLAIN("scriptPublishHistory", "scph", "biz_main_script_publish_history", "scph-",
          script_publish_history),
    PLAIN("scriptRecoverPoint", "srpt", "biz_main_script_recover_point", "srpt-",
          script_recover_point),
    ENTITY("scriptSet", "sset", "biz_main_script_set", "sset-", 12, script_set, script_set_joins,
           NULL, "sset.pinTime DESC, sset.id ASC"),
    PLAIN("scriptSetExportHistory", "sseh", "biz_main_script_set_export_history", "sseh-",
          script_set_export_history),
    PLAIN("scriptSetImportHistory", "ssih", "biz_main_script_set_import_history", "ssih-",
          script_set_import_history),
    ENTITY("accessKey", "ak", "wat_main_access_key", "ak-", 16, access_key, ak_joins, NULL,
           "ak.seq DESC"),
    PLAIN("accessKeyNonce", "akn", "wat_main_access_key_nonce", "akn-", access_key_nonce),
    PLAIN("systemSetting", "ss", "wat_main_system_setting", "ss-", system_setting),
    PLAIN("user", "u", "wat_main_user", "u-", user),
    PLAIN("signInGuard", "sign", "wat_main_sign_in_guard", "sign-", sign_in_guard),
    PLAIN("lastTaskStatus", "last", "tn_last_task_status", "last-", last_task_status),
    {.name = NULL}};

const tn_migration api_migrations[] = {
    {.seq = 1, .flags = TN_MIGRATION_UPGRADE, .dialect = "*",
     .title = "records live in a file of their own",
     .sql = "DROP TABLE IF EXISTS biz_main_task_record; "
            "DROP TABLE IF EXISTS biz_main_task_record_func; "
            "DROP TABLE IF EXISTS biz_main_operation_record"},
    {.seq = 0}};
/* clang-format on */
