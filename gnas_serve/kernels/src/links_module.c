#include "arguments.h"
#include "links.h"

#define CAPSULE "gnas_serve.kernels.Links"

typedef struct {
    Links links;
    Py_buffer held[3];
    int num_held;
} OpenedLinks;

static void close_links(OpenedLinks *opened)
{
    for (int i = 0; i < opened->num_held; i++)
        PyBuffer_Release(&opened->held[i]);
    free(opened->links.totals);
    free(opened->links.touched);
    PyMem_Free(opened);
}

static void close_links_capsule(PyObject *capsule)
{
    OpenedLinks *opened = PyCapsule_GetPointer(capsule, CAPSULE);
    if (opened != NULL)
        close_links(opened);
}

static int hold_links(OpenedLinks *opened, PyObject *const *arguments)
{
    Links *links = &opened->links;
    const Py_buffer *held = opened->held;
    if (!look(arguments[0], &opened->held[0], 8, "lq"))
        return 0;
    opened->num_held = 1;
    if (!look(arguments[1], &opened->held[1], 4, "i"))
        return 0;
    opened->num_held = 2;
    links->is_half = look(arguments[2], &opened->held[2], 2, "e");
    if (!links->is_half) {
        PyErr_Clear();
        if (!look(arguments[2], &opened->held[2], 4, "f"))
            return 0;
    }
    opened->num_held = 3;
    links->offsets = held[0].buf;
    links->items = held[1].buf;
    links->values = held[2].buf;
    links->count = held[0].len / 8 - 1;
    const int64_t number = held[1].len / 4;
    int is_right = links->count >= 1 && links->count <= INT32_MAX && links->offsets[0] == 0 &&
                   held[2].len / (links->is_half ? 2 : 4) == number && links->offsets[links->count] == number;
    for (int64_t i = 0; is_right && i < links->count; i++)
        is_right = links->offsets[i + 1] >= links->offsets[i];
    for (int64_t i = 0; is_right && i < number; i++)
        is_right = links->items[i] >= 0 && links->items[i] < links->count;
    if (!is_right)
        return refuse("offsets, items and values of links do not fit together") != NULL;
    return (links->totals = zeros(links->count, 8)) != NULL &&
           (links->touched = zeros((links->count + 63) / 64, 8)) != NULL;
}

PyObject *py_open_links(PyObject *self, PyObject *const *arguments, Py_ssize_t number)
{
    (void)self;
    if (number != 3)
        return refuse("open_links takes offsets, items, values");
    OpenedLinks *opened = PyMem_Calloc(1, sizeof *opened);
    if (opened == NULL)
        return PyErr_NoMemory();
    PyObject *capsule = NULL;
    if (hold_links(opened, arguments))
        capsule = PyCapsule_New(opened, CAPSULE, close_links_capsule);
    if (capsule == NULL)
        close_links(opened);
    return capsule;
}

PyObject *py_follow(PyObject *self, PyObject *const *arguments, Py_ssize_t number)
{
    (void)self;
    if (number != 5)
        return refuse("follow takes links, history, factor, rows, scores");
    OpenedLinks *opened = PyCapsule_GetPointer(arguments[0], CAPSULE);
    if (opened == NULL)
        return NULL;
    const double factor = PyFloat_AsDouble(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    Py_buffer views[3];
    int borrowed = 0;
    int64_t found = -1;
    if (borrow(arguments[1], &views[0], 0, 0, 0) && ++borrowed && borrow(arguments[3], &views[1], 1, 0, 0) &&
        ++borrowed && borrow(arguments[4], &views[2], 1, views[1].len / 2, 1) && ++borrowed &&
        is_apart(&views[1], views, 3) && is_apart(&views[2], views, 3) && is_apart(&views[1], opened->held, 3) &&
        is_apart(&views[2], opened->held, 3) && rows_are_within(&views[0], opened->links.count)) {
        found = follow(&opened->links, views[0].buf, views[0].len / 8, factor, views[1].len / 8, views[1].buf,
                       views[2].buf);
        if (found < 0)
            refuse("more links than there is room for");
    }
    give_back(views, borrowed);
    return found < 0 ? NULL : PyLong_FromLongLong(found);
}

PyObject *py_scores_at(PyObject *self, PyObject *const *arguments, Py_ssize_t number)
{
    (void)self;
    if (number != 4)
        return refuse("scores_at takes rows, scores, wanted, found");
    Py_buffer views[4];
    int borrowed = 0, is_right = 0;
    if (borrow(arguments[0], &views[0], 0, 0, 0) && ++borrowed &&
        borrow(arguments[1], &views[1], 0, views[0].len / 2, 1) && ++borrowed &&
        borrow(arguments[2], &views[2], 0, 0, 0) && ++borrowed &&
        borrow(arguments[3], &views[3], 1, views[2].len / 2, 1) && ++borrowed && is_apart(&views[3], views, 4)) {
        scores_at(views[0].buf, views[1].buf, views[0].len / 8, views[2].buf, views[2].len / 8, views[3].buf);
        is_right = 1;
    }
    give_back(views, borrowed);
    if (!is_right)
        return NULL;
    Py_RETURN_NONE;
}
