/* The Python module: checks every argument, so that no call reads or writes beyond an array, as long as nobody changes
   the memory of an argument meanwhile. What is written must not overlap with what is read.

   Buffers are held by whoever opened them. The interpreter's lock is held during a call, but for a scan of more than
   LONG_SCAN bytes, and while a table is laid out in blocks: these read and write memory of the module alone, so that
   nobody can change what was checked. The working memory belongs to one call at a time; another that comes during a
   long scan has its own. */
#include "arguments.h"
#include "features.h"
#include "selection.h"

#define ABI 2 /* of the calls below; also in ../__init__.py */

#ifndef SOURCES
#define SOURCES "" /* the digest of these files, where they were compiled by hatch_build.py */
#endif

const Level *level;

static PyObject *py_best(PyObject *self, PyObject *const *arguments, Py_ssize_t number)
{
    (void)self;
    if (number != 3)
        return refuse("best takes scores, count, positions");
    int64_t count = PyLong_AsLongLong(arguments[1]);
    if (PyErr_Occurred())
        return NULL;
    Py_buffer views[2];
    if (!borrow(arguments[0], &views[0], 0, 0, 0))
        return NULL;
    const int64_t n = views[0].len / 4;
    if (count < 1 || n > INT32_MAX || views[0].len % 4 != 0) {
        give_back(views, 1);
        return refuse("count is at least 1, and scores are float32");
    }
    count = count < n ? count : n;
    if (!borrow(arguments[2], &views[1], 1, count * 8, 0)) {
        give_back(views, 1);
        return NULL;
    }
    if (!is_apart(&views[1], views, 1)) {
        give_back(views, 2);
        return NULL;
    }
    Kept kept;
    uint64_t *memory = PyMem_Malloc(2 * (size_t)room_for(count) * sizeof *memory);
    if (memory == NULL) {
        give_back(views, 2);
        return PyErr_NoMemory();
    }
    keep_none(&kept, memory, count);
    offer_best(&kept, views[0].buf, n);
    int64_t *positions = views[1].buf;
    for (int64_t i = 0; i < kept.length; i++)
        positions[i] = row_of(kept.keys[i]);
    const int64_t found = kept.length;
    PyMem_Free(memory);
    give_back(views, 2);
    return PyLong_FromLongLong(found);
}

static PyObject *py_cross_features(PyObject *self, PyObject *const *arguments, Py_ssize_t number)
{
    (void)self;
    if (number != 6)
        return refuse("cross_features takes kinds, scores, parts, log_ranks, content, features");
    Py_buffer views[6];
    int borrowed = 0, is_right = 0;
    const float *content = NULL;
    if (borrow(arguments[0], &views[0], 0, 0, 0) && ++borrowed && borrow(arguments[1], &views[1], 0, 4, 0) &&
        ++borrowed && borrow(arguments[2], &views[2], 0, views[1].len, 0) && ++borrowed &&
        borrow(arguments[3], &views[3], 0, views[1].len, 0) && ++borrowed &&
        borrow(arguments[5], &views[4], 1, views[1].len * (views[0].len / 4), 1) && ++borrowed) {
        const int64_t n = views[1].len / 4, columns = views[0].len / 4, branches = views[2].len / views[1].len;
        const int32_t *kinds = views[0].buf;
        is_right = arguments[4] == Py_None || borrow(arguments[4], &views[5], 0, views[1].len, 1);
        if (is_right && arguments[4] != Py_None) {
            content = views[5].buf;
            borrowed++;
        }
        if (is_right) {
            is_right = views[1].len % 4 == 0 && views[0].len % 4 == 0 && views[2].len == branches * views[1].len;
            for (int64_t i = 0; is_right && i < columns; i++)
                is_right = kinds[i] >= CONTENT && kinds[i] < branches && (kinds[i] != CONTENT || content != NULL);
            if (!is_right)
                refuse("features of other inputs than are given");
            is_right = is_right && is_apart(&views[4], views, borrowed);
        }
        if (is_right)
            cross_features(kinds, columns, views[1].buf, views[2].buf, branches, views[3].buf, content, n,
                           views[4].buf);
    }
    give_back(views, borrowed);
    if (!is_right)
        return NULL;
    Py_RETURN_NONE;
}

static PyObject *py_level(PyObject *self, PyObject *ignored)
{
    (void)self;
    (void)ignored;
    return PyUnicode_FromString(level->name);
}

static PyObject *py_use_level(PyObject *self, PyObject *name)
{
    (void)self;
    const char *text = PyUnicode_AsUTF8AndSize(name, NULL);
    if (text == NULL)
        return NULL;
    const Level *found = find_level(text);
    if (found == NULL)
        return refuse("this processor does not have that level");
    level = found;
    Py_RETURN_NONE;
}

static PyMethodDef METHODS[] = {
    {"open_lists", (PyCFunction)(void (*)(void))py_open_lists, METH_FASTCALL, NULL},
    {"search", (PyCFunction)(void (*)(void))py_search, METH_FASTCALL, NULL},
    {"score_rows", (PyCFunction)(void (*)(void))py_score_rows, METH_FASTCALL, NULL},
    {"open_links", (PyCFunction)(void (*)(void))py_open_links, METH_FASTCALL, NULL},
    {"follow", (PyCFunction)(void (*)(void))py_follow, METH_FASTCALL, NULL},
    {"scores_at", (PyCFunction)(void (*)(void))py_scores_at, METH_FASTCALL, NULL},
    {"best", (PyCFunction)(void (*)(void))py_best, METH_FASTCALL, NULL},
    {"cross_features", (PyCFunction)(void (*)(void))py_cross_features, METH_FASTCALL, NULL},
    {"level", py_level, METH_NOARGS, NULL},
    {"use_level", py_use_level, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_native", NULL, -1, METHODS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__native(void)
{
    level = best_level();
    PyObject *module = PyModule_Create(&MODULE);
    if (module != NULL && (PyModule_AddIntConstant(module, "ABI", ABI) < 0 ||
                           PyModule_AddStringConstant(module, "SOURCES", SOURCES) < 0)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
