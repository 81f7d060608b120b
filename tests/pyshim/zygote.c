/* SPDX-License-Identifier: Apache-2.0 */
/* What the zygote does before it forks: compiled scripts, kept, handed over and deleted.
 * cases/zygote.txt calls what is left. */
#include "kernel/base/str.h"
#include "tests/pyshim/driver.h"
#include "tests/pyshim/fake_env.h"
#include <stdio.h>
#include <string.h>

static const tn_str absent = {NULL, 0};

static int refuses(tn_str source, tn_str marshal, const char *text)
{
    tn_err err = TN_ERR_INIT;
    if (lang_python.preload(TN_STR("zygote__bad"), 1, source, marshal, NULL, &err) == TN_E_INVAL &&
        strstr(err.msg, text) != NULL) {
        return 0;
    }
    fprintf(stderr, "preload of a bad script: \"%s\", not \"%s\"\n", err.msg, text);
    return -1;
}

int zygote_prepare(void)
{
    const tn_str source = TN_STR("def run():\n    return [__name__, bad.__code__.co_filename]\n"
                                 "def bad():\n    return 1 / 0\n"
                                 "@DFF.API('T', tags=['x'])\n"
                                 "def api():\n    return [n, api._DFF_FUNC_TAGS]\n"
                                 "import sys\n"
                                 "n = [type(x).__name__ for x in sys._getframe().f_code.co_consts]"
                                 ".count('decorator')\n");
    tn_err err = TN_ERR_INIT;
    struct buf again = BUF_INIT(0);
    int rc = -1;
    if (lang_python.preload(TN_STR("zygote__kept"), 1, source, absent, NULL, &err) ||
        lang_python.preload(TN_STR("zygote__compiled"), 1, source, absent, &fake.compiled, &err) ||
        lang_python.preload(TN_STR("zygote__again"), 1, absent, buf_str(&fake.compiled), &again,
                            &err)) {
        fprintf(stderr, "preload: %s\n", err.msg);
        goto undo_again;
    }
    if (again.len == 0) {
        fprintf(stderr, "preload: there is no compiled form\n");
        goto undo_again;
    }
    lang_python.unload(TN_STR("zygote__compiled"));
    lang_python.unload(TN_STR("zygote__never"));
    rc = refuses(TN_STR("def f(:"), absent,
                 "cannot compile script zygote__bad: SyntaxError: invalid syntax");
    rc |= refuses(TN_STR("\xff"), absent, "UnicodeDecodeError");
    rc |= refuses(absent, TN_STR("nonsense"), "cannot compile script zygote__bad");
    rc |= refuses(absent, (tn_str){"N", 1}, "is not one of ours");
undo_again:
    buf_finish(&again);
    return rc;
}
