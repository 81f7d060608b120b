/* SPDX-License-Identifier: Apache-2.0 */
/* The builtins of scripts: one dict for all calls, put right when a script changed it. */
#include "pyshim/shim.h"

static PyObject *module_dict; /* of the real module, kept: looking it up in every call is dear */

int builtins_init(void)
{
    PyObject *m = PyImport_AddModule("builtins"), *real = m ? PyModule_GetDict(m) : NULL;
    if (real == NULL) {
        return -1;
    }
    module_dict = Py_NewRef(real);
    shim.builtins_module_saved = PyDict_Copy(real);
    shim.builtins = PyDict_Copy(real);
    if (shim.builtins == NULL || shim.builtins_module_saved == NULL ||
        PyDict_DelItemString(shim.builtins, "BaseException") < 0 ||
        PyDict_SetItemString(shim.builtins, "__name__", PyDict_GetItemString(real, "__name__")) <
            0 ||
        print_init(shim.builtins) < 0 || importer_init(shim.builtins) < 0) {
        return -1;
    }
    shim.builtins_saved = PyDict_Copy(shim.builtins);
    if (shim.builtins_saved == NULL) {
        return -1;
    }
    shim.builtins_version = dict_version(shim.builtins);
    shim.builtins_module_version = dict_version(real);
    return 0;
}

static void restore(PyObject *dict, PyObject *saved, uint64_t *version)
{
    if (dict_version(dict) == *version) {
        return;
    }
    /* Update before removal, so that no name is missing for a moment: threads may be running. */
    PyDict_Update(dict, saved);
    if (PyDict_GET_SIZE(dict) != PyDict_GET_SIZE(saved)) {
        PyObject *keys = PyDict_Keys(dict);
        for (Py_ssize_t i = 0; keys && i < PyList_GET_SIZE(keys); i++) {
            PyObject *k = PyList_GET_ITEM(keys, i);
            if (!PyDict_Contains(saved, k)) {
                PyDict_DelItem(dict, k);
            }
        }
        Py_XDECREF(keys);
    }
    PyErr_Clear();
    *version = dict_version(dict);
}

void builtins_check(void)
{
    restore(shim.builtins, shim.builtins_saved, &shim.builtins_version);
    restore(module_dict, shim.builtins_module_saved, &shim.builtins_module_version);
}
