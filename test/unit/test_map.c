#include "check.h"

#include "base/list.h"
#include "base/map.h"
#include "hookwheel/alloc.h"

enum { N_KEYS = 700 };

struct item {
    char key[24];
    struct hw_map_entry entry;
};

static struct item items[N_KEYS];

static void items_init(void)
{
    for (int i = 0; i < N_KEYS; i++) {
        /* Lengths 1 to 20: every way through the hash. */
        snprintf(items[i].key, sizeof items[i].key, "%0*d", 3 + i % 18, i);
        items[i].entry = (struct hw_map_entry){ 0 };
    }
}

static struct hw_slice key_of(int i)
{
    return hw_slice_str(items[i].key);
}

CASE(empty)
{
    struct hw_map m;

    hw_map_init(&m);
    CHECK_NULL(hw_map_find(&m, HW_SLICE("x")));
    CHECK_NULL(hw_map_next(&m, NULL));
    hw_map_close(&m);
}

CASE(found_by_bytes_not_by_pointer)
{
    struct hw_map m;
    struct hw_map_entry a = { 0 }, zero = { 0 }, none = { 0 };
    char key[] = "abc";

    hw_map_init(&m);
    CHECK_INT(hw_map_add(&m, &a, HW_SLICE("abc")), ==, HW_OK);
    CHECK_INT(hw_map_add(&m, &zero, hw_slice("a\0b", 3)), ==, HW_OK);
    CHECK_INT(hw_map_add(&m, &none, hw_slice(NULL, 0)), ==, HW_OK);
    CHECK_PTR(hw_map_find(&m, hw_slice_str(key)), ==, &a);
    CHECK_PTR(hw_map_find(&m, hw_slice("a\0b", 3)), ==, &zero);
    CHECK_PTR(hw_map_find(&m, HW_SLICE("")), ==, &none);
    CHECK_NULL(hw_map_find(&m, hw_slice("a\0c", 3)));
    CHECK_NULL(hw_map_find(&m, HW_SLICE("ab")));
    hw_map_remove(&m, &a);
    hw_map_remove(&m, &a); /* again: nothing */
    CHECK_NULL(hw_map_find(&m, HW_SLICE("abc")));
    CHECK_UINT(m.n_entries, ==, 2);
    hw_map_close(&m);
}

/* Added and removed at random; each is found when it is in, and a walk meets it once. */
CASE(random_walk)
{
    struct hw_map m;
    size_t n_in = 0;
    unsigned char seed[16];

    for (size_t i = 0; i < sizeof seed; i++)
        seed[i] = (unsigned char)check_random();
    hw_map_seed(seed);
    items_init();
    hw_map_init(&m);
    for (int step = 0; step < 20000; step++) {
        int i = (int)check_random_below(N_KEYS);
        struct item *item = &items[i];
        CHECK_PTR(hw_map_find(&m, key_of(i)), ==, item->entry.is_in ? &item->entry : NULL);
        if (item->entry.is_in) {
            hw_map_remove(&m, &item->entry);
            n_in--;
        } else {
            CHECK_INT(hw_map_add(&m, &item->entry, key_of(i)), ==, HW_OK);
            n_in++;
        }
        CHECK_UINT(m.n_entries, ==, n_in);
        if (step % 500 == 0) {
            size_t n_met = 0;
            for (struct hw_map_entry *e = hw_map_next(&m, NULL); e; e = hw_map_next(&m, e)) {
                CHECK(e->is_in);
                n_met++;
            }
            CHECK_UINT(n_met, ==, n_in);
        }
    }
    hw_map_close(&m);
}

CASE(remove_behind_the_walk)
{
    struct hw_map m;
    struct hw_map_entry *e, *next;
    size_t n = 0;

    items_init();
    hw_map_init(&m);
    for (int i = 0; i < N_KEYS; i++)
        CHECK_INT(hw_map_add(&m, &items[i].entry, key_of(i)), ==, HW_OK);
    for (e = hw_map_next(&m, NULL); e; e = next, n++) {
        next = hw_map_next(&m, e);
        hw_map_remove(&m, e);
    }
    CHECK_UINT(n, ==, N_KEYS);
    CHECK_UINT(m.n_entries, ==, 0);
    hw_map_close(&m);
}

static bool is_memory_out;

static void *maybe_malloc(void *data, size_t n_bytes)
{
    (void)data;
    return is_memory_out ? NULL : malloc(n_bytes);
}

static void *maybe_realloc(void *data, void *p, size_t n_bytes)
{
    (void)data;
    return is_memory_out ? NULL : realloc(p, n_bytes);
}

static void maybe_free(void *data, void *p)
{
    (void)data;
    free(p);
}

CASE(without_memory_an_empty_one_refuses_and_a_full_one_gets_slower)
{
    const struct hw_alloc alloc = { maybe_malloc, maybe_realloc, maybe_free, NULL };
    struct hw_map m;

    hw_alloc_use(&alloc);
    items_init();
    hw_map_init(&m);
    is_memory_out = true;
    CHECK_INT(hw_map_add(&m, &items[0].entry, key_of(0)), ==, HW_ENOMEM);
    CHECK(!items[0].entry.is_in);
    CHECK_UINT(m.n_entries, ==, 0);
    is_memory_out = false;
    CHECK_INT(hw_map_add(&m, &items[0].entry, key_of(0)), ==, HW_OK);
    is_memory_out = true;
    for (int i = 1; i < N_KEYS; i++)
        CHECK_INT(hw_map_add(&m, &items[i].entry, key_of(i)), ==, HW_OK);
    for (int i = 0; i < N_KEYS; i++)
        CHECK_PTR(hw_map_find(&m, key_of(i)), ==, &items[i].entry);
    hw_map_close(&m);
    is_memory_out = false;
    hw_alloc_use(NULL);
}
