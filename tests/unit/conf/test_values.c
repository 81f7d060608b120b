/* SPDX-License-Identifier: Apache-2.0 */
/* Single values, binding to a struct, and the texts made from a table. */
#include "tests/unit/base/unit.h"

#include "kernel/base/str.h"
#include "kernel/conf/conf.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct all {
    bool b;
    int64_t i;
    double f;
    const char *s;
    const char *choice;
    tn_secret secret;
    tn_dur dur;
    tn_bytes bytes;
    const char *must;
    int64_t old;
};
static const char *const colours[] = {"red", "green", NULL};
static const tn_field fields[] = {
    {TN_FIELD(struct all, b), .dflt = "yes", .doc = "A bool."},
    {TN_FIELD(struct all, i), .dflt = "5", .min = -10, .max = 10, .doc = "An int."},
    {TN_FIELD(struct all, f), .dflt = "0.5", .min = 0, .max = 1, .doc = "A float | with a bar."},
    {TN_FIELD(struct all, s), .dflt = "", .max = 5, .doc = "A text."},
    {TN_FIELD(struct all, choice), .dflt = "red", .choices = colours, .doc = "A choice."},
    {TN_FIELD(struct all, secret), .doc = "A secret."},
    {TN_FIELD(struct all, dur), .dflt = "1s", .min = 1, .max = 60000, .doc = "A duration."},
    {TN_FIELD(struct all, bytes), .dflt = "64k", .doc = "A size."},
    {TN_FIELD(struct all, must), .flags = TN_F_REQUIRED, .doc = "Must be there."},
    {TN_FIELD(struct all, old), .dflt = "0", .flags = TN_F_DEPRECATED, .doc = "Use i."},
    {0},
};

static const tn_field *row(const char *name)
{
    const tn_field *f = fields;
    while (strcmp(f->name, name) != 0) {
        f++;
    }
    return f;
}

static void good_values(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text;
        int64_t v;
    } cases[] = {
        {"b", "TRUE", 1},
        {"b", "off", 0},
        {"b", "1", 1},
        {"i", "-10", -10},
        {"i", "10", 10},
        {"dur", "250ms", 250},
        {"dur", "1m", 60000},
        {"bytes", "0", 0},
        {"bytes", "7", 7},
        {"bytes", "2M", 2 << 20},
        {"bytes", "1T", (int64_t)1 << 40},
        {"bytes", "3g", (int64_t)3 << 30},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct all a = {0};
        const tn_field *f = row(cases[i].name);
        assert_int_equal(conf_parse(f, str_of(cases[i].text), &a, NULL), TN_OK);
        int64_t v = f->type == TN_C_BOOL ? a.b : *(int64_t *)(void *)((char *)&a + f->offset);
        assert_true(v == cases[i].v);
        assert_int_equal(conf_parse(f, str_of(cases[i].text), NULL, NULL), TN_OK);
    }
}

static void bad_values(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *says;
    } cases[] = {
        {"b", "maybe", "neither true nor false"},
        {"b", "", "neither true nor false"},
        {"i", "11", "outside -10 to 10"},
        {"i", "1.5", "not a whole number"},
        {"i", "99999999999999999999", "not a whole number"},
        {"f", "1.01", "outside 0 to 1"},
        {"f", "nan", "not a number"},
        {"s", "123456", "has 6 characters; 0 to 5"},
        {"s", "\xFF", "not UTF-8"},
        {"choice", "blue", "\"blue\" is not one of: red, green"},
        {"dur", "5", "not a duration"},
        {"dur", "-5s", "not a duration"},
        {"dur", "0", "outside 1 to 60000 ms"},
        {"dur", "2h", "outside 1 to 60000 ms"},
        {"dur", "9223372036854775807d", "not a duration"},
        {"dur", "s", "not a duration"},
        {"bytes", "1X", "not a size"},
        {"bytes", "9223372036854775807k", "not a size"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct all a;
        memset(&a, 0x5A, sizeof a);
        struct all before = a;
        tn_err err = TN_ERR_INIT;
        assert_int_equal(conf_parse(row(cases[i].name), str_of(cases[i].text), &a, &err),
                         TN_E_CONFIG);
        assert_non_null(strstr(err.msg, cases[i].says));
        assert_memory_equal(&a, &before, sizeof a);
    }
}

static void secrets_stay_out_of_messages(void **state)
{
    (void)state;
    tn_field f = *row("secret");
    f.min = 10;
    f.max = 20;
    tn_err err = TN_ERR_INIT;
    assert_int_equal(conf_parse(&f, TN_STR("hunter22"), NULL, &err), TN_E_CONFIG);
    assert_null(strstr(err.msg, "hunter22"));
    struct buf out = BUF_INIT(0);
    f.dflt = "hunter2222";
    const tn_field table[] = {f, {0}};
    conf_help(&out, table);
    conf_markdown(&out, table);
    conf_schema(&out, table);
    assert_null(strstr(out.data, "hunter"));
    buf_finish(&out);
}

static void binding(void **state)
{
    (void)state;
    struct conf c;
    struct conf_problems p = {.text = BUF_INIT(0)};
    struct all a = {0};
    conf_init(&c);
    conf_set(&c, "x.must", "here", "t");
    conf_set(&c, "x.i", "1", "t");
    conf_set(&c, "x.i", "2", "t2"); /* the later wins */
    conf_set(&c, "x.secret", "psst", "t");
    conf_set(&c, "other.thing", "1", "t");
    assert_int_equal(conf_bind(&c, "x.", fields, &a, &p), TN_OK);
    assert_int_equal(p.errors, 0);
    assert_true(a.b);
    assert_int_equal(a.i, 2);
    assert_true(a.f == 0.5);
    assert_string_equal(a.s, "");
    assert_string_equal(a.choice, "red");
    assert_string_equal(a.secret.s, "psst");
    assert_int_equal(a.dur.ms, 1000);
    assert_int_equal(a.bytes.n, 65536);
    assert_string_equal(a.must, "here");
    conf_free(fields, &a);
    assert_null(a.must);
    assert_null(a.secret.s);
    conf_free(fields, &a);
    conf_finish(&c);
    conf_problems_finish(&p);
}

/* One run names everything that is wrong. */
static void all_problems_at_once(void **state)
{
    (void)state;
    struct conf c;
    struct conf_problems p = {.text = BUF_INIT(0)};
    struct all a = {0};
    conf_init(&c);
    conf_set(&c, "x.i", "77", "f:1");
    conf_set(&c, "x.dru", "1s", "f:2");
    conf_set(&c, "x.zzzzzzzz", "1s", "f:3");
    conf_set(&c, "x.old", "1", "f:4");
    assert_int_equal(conf_bind(&c, "x.", fields, &a, &p), TN_E_CONFIG);
    assert_int_equal(p.errors, 4);
    assert_int_equal(p.warnings, 1);
    static const char *const says[] = {
        "f:1: x.i: \"77\" is outside",
        "f:2: x.dru: unknown setting; did you mean \"x.dur\"?",
        "f:3: x.zzzzzzzz: unknown setting; remove",
        "x.must: is required: Must be there.",
        "f:4: x.old: warning: is deprecated: Use i.",
    };
    for (size_t i = 0; i < sizeof says / sizeof says[0]; i++) {
        assert_non_null(strstr(p.text.data, says[i]));
    }
    conf_free(fields, &a);
    assert_int_equal(conf_bind(&c, "x.", fields, &a, NULL), TN_E_CONFIG); /* nobody listens */
    conf_free(fields, &a);
    conf_finish(&c);
    conf_problems_finish(&p);
}

static void problems_are_bounded(void **state)
{
    (void)state;
    struct conf_problems p = {.text = BUF_INIT(0)};
    for (int i = 0; i < 5000; i++) {
        conf_problem(&p, "w", "k", "problem %d", i);
    }
    assert_int_equal(p.errors, 5000);
    assert_true(p.text.len < 10000);
    conf_problems_finish(&p);
}

static void tables_are_checked(void **state)
{
    (void)state;
    assert_int_equal(conf_check_table(fields, sizeof(struct all), NULL), TN_OK);
    const tn_field good = *row("i");
    tn_field bad[9] = {good, good, good, good, good, good, good, good, good};
    const char *says[9];
    bad[0].name = "Bad";
    says[0] = "\"Bad\" is not";
    bad[1].type = 99;
    says[1] = "type 99";
    bad[2].type = 0;
    says[2] = "type 0";
    bad[3].offset = sizeof(struct all) - 4;
    says[3] = "conf_size is";
    bad[4].offset = UINT32_MAX;
    says[4] = "conf_size is";
    bad[5].doc = NULL;
    says[5] = "has no doc";
    bad[6].min = 11;
    says[6] = "min 11 above max 10";
    bad[7].dflt = "eleven";
    says[7] = "the default of i: \"eleven\" is not a whole number";
    bad[8].offset = good.offset + 1;
    says[8] = "at offset";
    for (int i = 0; i < 9; i++) {
        const tn_field table[] = {bad[i], {0}};
        tn_err err = TN_ERR_INIT;
        assert_int_equal(conf_check_table(table, sizeof(struct all), &err), TN_E_INVAL);
        assert_non_null(strstr(err.msg, says[i]));
    }
    tn_err err = TN_ERR_INIT;
    tn_field moved = good;
    moved.name = "other"; /* at the place of i */
    const tn_field twice[] = {good, good, {0}}, overlap[] = {good, moved, {0}};
    assert_int_equal(conf_check_table(twice, sizeof(struct all), &err), TN_E_INVAL);
    assert_non_null(strstr(err.msg, "twice"));
    assert_int_equal(conf_check_table(overlap, sizeof(struct all), &err), TN_E_INVAL);
    assert_non_null(strstr(err.msg, "same bytes"));
    static tn_field endless[300];
    for (int i = 0; i < 300; i++) {
        endless[i] = good;
    }
    assert_int_equal(conf_check_table(endless, sizeof(struct all), &err), TN_E_INVAL);
}

static void reference_texts(void **state)
{
    (void)state;
    struct buf out = BUF_INIT(0);
    conf_help(&out, fields);
    assert_non_null(strstr(out.data, "(int, -10 to 10, default 5)"));
    assert_non_null(strstr(out.data, "(text, one of: red, green, default red)"));
    assert_non_null(strstr(out.data, "required)"));
    buf_clear(&out);
    conf_markdown(&out, fields);
    assert_non_null(strstr(out.data, "| `f` | float | `0.5` | 0 to 1 | A float \\| with a bar. |"));
    assert_non_null(strstr(out.data, "| `must` | text | *required* |"));
    buf_clear(&out);
    conf_schema(&out, fields);
    json_t *schema = json_loads(out.data, 0, NULL);
    assert_non_null(schema);
    json_t *props = json_object_get(schema, "properties");
    assert_int_equal(json_object_size(props), 10);
    assert_true(json_is_true(json_object_get(json_object_get(props, "b"), "default")));
    json_t *i = json_object_get(props, "i");
    assert_int_equal(json_integer_value(json_object_get(i, "default")), 5);
    assert_int_equal(json_integer_value(json_object_get(i, "minimum")), -10);
    assert_int_equal(json_array_size(json_object_get(json_object_get(props, "choice"), "enum")), 2);
    assert_int_equal(json_integer_value(json_object_get(json_object_get(props, "s"), "maxLength")),
                     5);
    assert_true(json_is_true(json_object_get(json_object_get(props, "secret"), "writeOnly")));
    assert_int_equal(json_array_size(json_object_get(schema, "required")), 1);
    json_decref(schema);
    buf_clear(&out);
    conf_schema(&out, NULL); /* a plugin without configuration */
    schema = json_loads(out.data, 0, NULL);
    assert_non_null(schema);
    json_decref(schema);
    buf_finish(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_values),
        cmocka_unit_test(bad_values),
        cmocka_unit_test(secrets_stay_out_of_messages),
        cmocka_unit_test(binding),
        cmocka_unit_test(all_problems_at_once),
        cmocka_unit_test(problems_are_bounded),
        cmocka_unit_test(tables_are_checked),
        cmocka_unit_test(reference_texts),
    };
    return RUN(tests);
}
