/* SPDX-License-Identifier: Apache-2.0 */
/* First start (spec 6.1, 6.2): administrator, demo, installation id, unattended access key. */
#include "rows.h"

#include <stdlib.h>
#include <string.h>

#define CTX  api.host->ctx
#define ENT  api.host->entities
#define AUTH api.host->auth
#define DEV_MARK                                                                                   \
    "TENON_DEV_ADMIN" /* setting: the administrator still has the development password */

static const char demo_code[] =
    "'''\n"
    "基础演示\n"
    "'''\n"
    "\n"
    "# 由 `DFF.API(...)` 修饰的函数在发布后可以被外部调用\n"
    "@DFF.API('两数相加', category='math', tags=['math', 'simple'], cache_result=300, timeout=10)\n"
    "def plus(x, y):\n"
    "    '''\n"
    "    两数相加\n"
    "\n"
    "    输入参数 x, y 均为数字类型，返回结果为两者之和\n"
    "    '''\n"
    "    print('INPUT: x = {}, y = {}'.format(x, y))\n"
    "\n"
    "    both_int = isinstance(x, int) and isinstance(y, int)\n"
    "    result = float(x) + float(y)\n"
    "    if both_int:\n"
    "        result = int(x) + int(y)\n"
    "\n"
    "    print('OUTPUT: result = {}'.format(result))\n"
    "    return result\n";

static tn_rc setting_put(tn_txn *txn, const char *id, const json_t *value, tn_err *err)
{
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    json_t *row = json_pack("{s:s, s:s?}", "id", id, "value", text);
    tn_rc rc = store_insert(txn, "systemSetting", row, NULL, err);
    json_decref(row);
    free(text);
    return rc;
}

static tn_rc setup_install_id(tn_txn *txn, tn_err *err)
{
    static const char hex[] = "0123456789ABCDEF";
    unsigned char raw[16];
    char id[3 + 32 + 1] = "DFF";
    AUTH->random(raw, sizeof raw);
    for (size_t i = 0; i < sizeof raw; i++) {
        id[3 + 2 * i] = hex[raw[i] >> 4];
        id[4 + 2 * i] = hex[raw[i] & 15];
    }
    id[35] = '\0';
    json_t *v = json_string(id);
    tn_rc rc = setting_put(txn, "DATAFLUX_FUNC_ID", v, err);
    json_decref(v);
    return rc;
}

static tn_rc hash_into(json_t *row, const char *password, tn_err *err)
{
    tn_text phc = {0};
    tn_rc rc = AUTH->password_hash(CTX, text_of(password), &phc, err);
    if (rc == TN_OK) {
        json_object_set_new(row, "passwordHash", json_string(phc.s));
        api.host->free(CTX, phc.s);
    }
    return rc;
}

/* A new password is shown once, then nobody can read it anywhere. A warning, because deployments
 * that come from DFF run with LOG_LEVEL=WARNING and would never see a notice. */
static void password_show(const char *username, const char *password)
{
    api.host->log(CTX, TN_LOG_WARNING, "admin password: %s (user name: %s, shown only once)",
                  password, username);
    api.host->mask(CTX, text_of(password));
}

static tn_rc setup_admin(tn_txn *txn, tn_err *err)
{
    bool automatic = api_setting_bool("AUTO_SETUP", false);
    const char *username = automatic ? api_setting("AUTO_SETUP_ADMIN_USERNAME", "admin") : "admin";
    const char *given = automatic ? api_setting("AUTO_SETUP_ADMIN_PASSWORD", "") : "";
    char generated[20 + 1];
    AUTH->random_id(generated, 20);
    bool dev_default = given[0] == '\0' && api.dev;
    const char *password = given[0] != '\0' ? given : dev_default ? "admin" : generated;
    json_t *row = json_pack("{s:s, s:s, s:s, s:[s], s:[s]}", "id", "u-admin", "username", username,
                            "name", "Administrator", "roles", "sa", "customPrivileges", "*");
    tn_rc rc = hash_into(row, password, err);
    if (rc == TN_OK) {
        rc = store_insert(txn, "user", row, NULL, err);
    }
    json_decref(row);
    if (rc == TN_OK && dev_default) {
        rc = setting_put(txn, DEV_MARK, json_true(), err);
    }
    if (rc == TN_OK && password == generated) {
        password_show(username, password);
    }
    return rc;
}

static tn_rc setup_access_key(tn_txn *txn, tn_err *err)
{
    const char *secret = api_setting("AUTO_SETUP_AK_SECRET", "");
    const char *id = api_setting("AUTO_SETUP_AK_ID", "ak-auto-setup");
    if (!api_setting_bool("AUTO_SETUP", false) || secret[0] == '\0') {
        return TN_OK;
    }
    struct str aad = {0};
    tn_text sealed = {0};
    str_printf(&aad, "wat_main_access_key|secretCipher|%s", id);
    tn_rc rc = AUTH->seal(CTX, text_of(secret), str_view(&aad), &sealed, err);
    str_free(&aad);
    if (rc != TN_OK) {
        return rc;
    }
    json_t *row = json_pack("{s:s, s:s, s:s, s:s}", "id", id, "userId", "u-admin", "title",
                            "Auto setup", "secretCipher", sealed.s);
    rc = store_insert(txn, "accessKey", row, NULL, err);
    json_decref(row);
    api.host->free(CTX, sealed.s);
    return rc;
}

/* The demo arrives published, as if somebody had pressed the button. */
static tn_rc setup_demo(tn_txn *txn, tn_err *err)
{
    char md5[33];
    md5_hex(demo_code, sizeof demo_code - 1, md5);
    json_t *set = json_pack("{s:s, s:s, s:s, s:s, s:s}", "id", "demo", "title", "示例",
                            "description", "基础示例", "origin", "builtin", "originId", "builtin");
    json_t *script = json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s, s:s, s:s}", "id", "demo__basic",
                               "scriptSetId", "demo", "title", "基础演示", "publishVersion", 1,
                               "type", "python", "code", demo_code, "codeMD5", md5, "codeDraft",
                               demo_code, "codeDraftMD5", md5);
    json_t *funcs = json_pack(
        "[{s:s, s:s, s:s, s:s, s:[s,s], s:{s:{}, s:{}}, s:{s:i, s:i}, s:s, s:[s,s], s:n, s:i}]",
        "name", "plus", "title", "两数相加", "description",
        "两数相加\n\n输入参数 x, y 均为数字类型，返回结果为两者之和", "definition", "plus(x, y)",
        "args", "x", "y", "kwargs", "x", "y", "extraConfig", "cacheResult", 300, "timeout", 10,
        "category", "math", "tags", "math", "simple", "integration", "defOrder", 0);
    json_t *call = json_pack("{s:s, s:s, s:{s:s, s:s}, s:s, s:s, s:b, s:s}", "id", "sync-demo-plus",
                             "funcId", "demo__basic.plus", "funcCallKwargsJSON", "x",
                             "INPUT_BY_CALLER", "y", "INPUT_BY_CALLER", "origin", "builtin",
                             "originId", "builtin", "showInDoc", 1, "note", "两数相加");
    tn_rc rc = store_insert(txn, "scriptSet", set, NULL, err);
    if (rc == TN_OK) {
        rc = store_insert(txn, "script", script, NULL, err);
    }
    if (rc == TN_OK) {
        rc = funcs_store(txn, "demo__basic", funcs, err);
    }
    if (rc == TN_OK) {
        rc = store_insert(txn, "syncAPI", call, NULL, err);
    }
    json_decref(set);
    json_decref(script);
    json_decref(funcs);
    json_decref(call);
    return rc;
}

/* A platform that was tried out with --dev and now runs for real must not keep admin/admin. */
static tn_rc leave_dev(tn_err *err)
{
    json_t *mark = store_one(NULL, "systemSetting", "id", TN_STR(DEV_MARK), NULL, 0, err);
    if (mark == NULL) {
        return err->rc == TN_E_NOTFOUND ? TN_OK : err->rc;
    }
    json_decref(mark);
    static const char *const hash[] = {"passwordHash"};
    json_t *admin = store_one(NULL, "user", "id", TN_STR("u-admin"), hash, 1, err);
    tn_rc rc = admin != NULL || err->rc == TN_E_NOTFOUND ? TN_OK : err->rc;
    if (admin != NULL &&
        AUTH->password_verify(CTX, TN_STR("admin"), text_of(row_text(admin, "passwordHash")),
                              NULL) == TN_OK) {
        char generated[20 + 1];
        AUTH->random_id(generated, 20);
        json_t *patch = json_object();
        rc = hash_into(patch, generated, err);
        if (rc == TN_OK) {
            rc = store_patch(NULL, "user", "id", TN_STR("u-admin"), patch, err);
        }
        json_decref(patch);
        if (rc == TN_OK) {
            AUTH->session_drop(CTX, TN_STR("u-admin"), (tn_str){NULL, 0}, (tn_str){NULL, 0});
            password_show(row_text(admin, "username"), generated);
        }
    }
    json_decref(admin);
    if (rc == TN_OK) {
        rc = store_delete(NULL, "systemSetting", "id", TN_STR(DEV_MARK), NULL, err);
    }
    return rc;
}

tn_rc first_start(tn_err *err)
{
    json_t *known = store_one(NULL, "systemSetting", "id", TN_STR("DATAFLUX_FUNC_ID"), NULL, 0,
                              err);
    if (known != NULL) {
        json_decref(known);
        return api.dev ? TN_OK : leave_dev(err);
    }
    if (err->rc != TN_E_NOTFOUND) {
        return err->rc;
    }
    static tn_rc (*const steps[])(tn_txn *, tn_err *) = {setup_install_id, setup_admin,
                                                         setup_access_key, setup_demo};
    tn_txn *txn;
    tn_rc rc = ENT->begin(CTX, &txn, err);
    if (rc != TN_OK) {
        return rc;
    }
    for (size_t i = 0; rc == TN_OK && i < sizeof steps / sizeof *steps; i++) {
        rc = steps[i](txn, err);
    }
    if (rc != TN_OK) {
        ENT->rollback(CTX, txn);
        return rc;
    }
    return ENT->commit(CTX, txn, err);
}
