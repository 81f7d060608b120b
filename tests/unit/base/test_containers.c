/* SPDX-License-Identifier: Apache-2.0 */
/* Map, heap, list and arena. */
#include "unit.h"

#include "kernel/base/arena.h"
#include "kernel/base/heap.h"
#include "kernel/base/list.h"
#include "kernel/base/map.h"
#include "kernel/base/str.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void map_holds_what_was_put(void **state)
{
    (void)state;
    enum { N = 5000 };
    static int values[N];
    struct map m = MAP_INIT;
    char key[32];
    void *old = &m;
    assert_null(map_get(&m, TN_STR("x")));
    assert_null(map_del(&m, TN_STR("x")));
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "key %d", i);
        assert_int_equal(map_put(&m, str_of(key), &values[i], &old), 0);
        assert_null(old);
    }
    assert_int_equal(m.used, N);
    for (int i = 0; i < N; i += 2) {
        snprintf(key, sizeof key, "key %d", i);
        assert_ptr_equal(map_del(&m, str_of(key)), &values[i]);
        assert_null(map_del(&m, str_of(key)));
    }
    for (int i = 0; i < N; i++) {
        snprintf(key, sizeof key, "key %d", i);
        assert_ptr_equal(map_get(&m, str_of(key)), i % 2 ? &values[i] : NULL);
    }
    assert_int_equal(map_put(&m, TN_STR("key 1"), &values[0], &old), 0);
    assert_ptr_equal(old, &values[1]);
    assert_int_equal(m.used, N / 2);
    map_finish(&m, NULL);
    map_finish(&m, NULL);
}

static void map_keys_are_bytes(void **state)
{
    (void)state;
    struct map m = MAP_INIT;
    map_put(&m, (tn_str){"a\0b", 3}, "1", NULL);
    map_put(&m, (tn_str){"a\0c", 3}, "2", NULL);
    map_put(&m, (tn_str){"", 0}, "empty", NULL);
    assert_string_equal(map_get(&m, (tn_str){"a\0b", 3}), "1");
    assert_string_equal(map_get(&m, (tn_str){"a\0c", 3}), "2");
    assert_string_equal(map_get(&m, (tn_str){NULL, 0}), "empty");
    assert_null(map_get(&m, TN_STR("a")));
    map_finish(&m, NULL);
}

/* Put and delete for ever must not grow the table nor make it so full of tombstones that a search
 * for an absent key never ends. */
static void map_churn_stays_small(void **state)
{
    (void)state;
    struct map m = MAP_INIT;
    char key[32];
    for (int i = 0; i < 100000; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(map_put(&m, str_of(key), &m, NULL), 0);
        assert_ptr_equal(map_del(&m, str_of(key)), &m);
    }
    assert_true(m.cap <= 16);
    assert_null(map_get(&m, TN_STR("absent")));
    map_finish(&m, NULL);
}

static void map_walk_may_delete(void **state)
{
    (void)state;
    struct map m = MAP_INIT;
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        map_put(&m, str_of(key), malloc(1), NULL);
    }
    size_t seen = 0;
    tn_str key;
    void *value;
    for (size_t i = 0; map_next(&m, &i, &key, &value);) {
        seen++;
        if (seen % 2) {
            free(map_del(&m, key));
        }
    }
    assert_int_equal(seen, 100);
    assert_int_equal(m.used, 50);
    map_finish(&m, free);
}

static void heap_orders(void **state)
{
    (void)state;
    enum { N = 2000 };
    static struct heap_node nodes[N];
    struct heap h;
    heap_init(&h);
    assert_null(heap_top(&h));
    heap_del(&h, &nodes[0]);
    unsigned seed = 7;
    for (int i = 0; i < N; i++) {
        seed = seed * 1103515245 + 12345;
        assert_int_equal(heap_add(&h, &nodes[i], seed >> 16), 0);
    }
    for (int i = 0; i < N; i += 3) { /* move up and down */
        assert_int_equal(heap_add(&h, &nodes[i], (uint64_t)(N - i) * 10), 0);
    }
    for (int i = 1; i < N; i += 3) {
        heap_del(&h, &nodes[i]);
        assert_int_equal(nodes[i].pos, 0);
    }
    uint64_t last = 0;
    size_t n = h.n;
    for (; h.n > 0; n--) {
        struct heap_node *top = heap_top(&h);
        assert_true(top->at >= last);
        last = top->at;
        heap_del(&h, top);
    }
    assert_int_equal(n, 0);
    heap_add(&h, &nodes[0], 1);
    heap_finish(&h);
    assert_int_equal(nodes[0].pos, 0);
}

static void list_links(void **state)
{
    (void)state;
    struct item {
        int v;
        struct list link;
    } items[3] = {{1, {0}}, {2, {0}}, {3, {0}}};
    struct list l;
    list_init(&l);
    assert_true(list_empty(&l));
    assert_null(list_pop_front(&l));
    list_push_back(&l, &items[1].link);
    list_push_back(&l, &items[2].link);
    list_push_front(&l, &items[0].link);
    int want = 1;
    list_for_each_safe(it, &l) {
        assert_int_equal(list_entry(it, struct item, link)->v, want++);
        list_del(it);
    }
    assert_true(list_empty(&l));
    list_del(&items[0].link); /* twice is harmless */
}

static void arena_is_aligned_and_zeroed(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 128);
    for (int round = 0; round < 3; round++) {
        for (size_t n = 0; n < 300; n += 7) {
            unsigned char *p = arena_alloc(&a, n);
            assert_non_null(p);
            assert_int_equal((uintptr_t)p % 16, 0);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(p[i], 0);
            }
            memset(p, 0xAA, n);
        }
        arena_reset(&a);
    }
    assert_string_equal(arena_dup(&a, (tn_str){"abc", 2}), "ab");
    assert_string_equal(arena_printf(&a, "%05d", 42), "00042");
    assert_null(arena_alloc(&a, SIZE_MAX));
    assert_null(arena_alloc(&a, SIZE_MAX - 15));
    arena_finish(&a);
    arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_holds_what_was_put),
        cmocka_unit_test(map_keys_are_bytes),
        cmocka_unit_test(map_churn_stays_small),
        cmocka_unit_test(map_walk_may_delete),
        cmocka_unit_test(heap_orders),
        cmocka_unit_test(list_links),
        cmocka_unit_test(arena_is_aligned_and_zeroed),
    };
    return RUN(tests);
}
