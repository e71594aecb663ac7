#include "arguments.h"
#include "blocks.h"
#include "scratch.h"

#define CAPSULE "gnas_serve.kernels.Lists"
#define HELD 3
#define MOST_BRANCHES 1024
#define LONG_SCAN (8 << 20) /* bytes, half a millisecond or so: others may compute meanwhile */

typedef struct {
    Lists lists;
    Scratch scratch;
    int is_busy; /* a call works with `scratch` */
    Py_buffer held[HELD];
    int num_held;
} Opened;

static void close_opened(Opened *opened)
{
    for (int i = 0; i < opened->num_held; i++)
        PyBuffer_Release(&opened->held[i]);
    free_scratch(&opened->scratch);
    free(opened->lists.shape.bounds);
    free_blocks(&opened->lists.items);
    free_blocks(&opened->lists.centroids);
    PyMem_Free(opened);
}

static void close_capsule(PyObject *capsule)
{
    Opened *opened = PyCapsule_GetPointer(capsule, CAPSULE);
    if (opened != NULL)
        close_opened(opened);
}

static int check_table(const Py_buffer *values, const Py_buffer *scales, Table *table)
{
    const int64_t num_values = values->len, num_scales = scales->len / 4;
    table->values = values->buf;
    table->scales = scales->buf;
    table->count = num_scales / table->branches;
    if (table->count < 1 || table->count > INT32_MAX || num_scales != table->count * table->branches ||
        num_values != table->count * table->width)
        return refuse("vectors and scales do not fit together") != NULL;
    return 1;
}

/* Hold the memory of a table for as long as it is open. */
static int hold_table(Opened *opened, PyObject *const *arguments)
{
    static const struct {
        Py_ssize_t size;
        const char *formats;
    } kinds[HELD] = {{1, "b"}, {4, "f"}, {4, "i"}};
    Table *table = &opened->lists.vectors;
    for (int i = 0; i < HELD; i++, opened->num_held++)
        if (!look(arguments[i], &opened->held[i], kinds[i].size, kinds[i].formats))
            return 0;
    table->bounds = opened->held[2].buf;
    table->branches = opened->held[2].len / 4 - 1;
    int is_right = table->branches >= 1 && table->branches <= MOST_BRANCHES && table->bounds[0] == 0;
    for (int64_t b = 0; is_right && b < table->branches; b++)
        is_right = table->bounds[b + 1] > table->bounds[b];
    if (!is_right)
        return refuse("the bounds of the branches do not ascend from 0") != NULL;
    table->width = table->bounds[table->branches];
    return check_table(&opened->held[0], &opened->held[1], table);
}

static int make_shape(const Table *table, Shape *shape)
{
    shape->branches = table->branches;
    shape->bounds = zeros(table->branches + 1, sizeof *shape->bounds);
    if (shape->bounds == NULL)
        return 0;
    for (int64_t b = 0; b < table->branches; b++) {
        const int64_t groups = (table->bounds[b + 1] - table->bounds[b] + GROUP - 1) / GROUP;
        shape->segments += (groups + SEGMENT - 1) / SEGMENT;
        shape->groups += groups;
        shape->bounds[b + 1] = (int32_t)shape->groups;
    }
    return 1;
}

/* Lay a table out while others may compute: it takes a second for a million rows. */
static int make_blocks(const Table *table, const Shape *shape, const int32_t *rows, const int64_t *starts,
                       int64_t num_lists, Blocks *blocks)
{
    Blocks made = {0};
    PyThreadState *state = PyEval_SaveThread();
    const int is_made = lay_out(table, shape, rows, starts, num_lists, &made);
    PyEval_RestoreThread(state);
    if (is_made && blocks->num_lists == 0) {
        *blocks = made;
    } else { /* no room, or another thread has done it meanwhile */
        free_blocks(&made);
        if (!is_made)
            return PyErr_NoMemory() != NULL;
    }
    return 1;
}

static int check_lists(const Table *table, const Py_buffer *rows, const Py_buffer *starts, int64_t num_lists,
                       uint8_t *marks)
{
    const int32_t *row = rows->buf;
    const int64_t *start = starts->buf;
    int is_right = rows->len / 4 == table->count && starts->len / 8 == num_lists + 1 && start[0] == 0 &&
                   start[num_lists] == table->count;
    for (int64_t l = 0; is_right && l < num_lists; l++)
        is_right = start[l + 1] >= start[l];
    if (!is_right)
        return refuse("the lists do not span the vectors") != NULL;
    for (int64_t place = 0; is_right && place < table->count; place++) {
        is_right = row[place] >= 0 && row[place] < table->count && !marks[row[place]];
        if (is_right)
            marks[row[place]] = 1;
    }
    memset(marks, 0, (size_t)table->count);
    return is_right || refuse("the lists do not hold every row once") != NULL;
}

/* Divide the items into lists: rows, starts, centroids, scales of the centroids. */
static int make_lists(Opened *opened, PyObject *const *arguments)
{
    Lists *lists = &opened->lists;
    Table centroids = lists->vectors;
    Py_buffer views[4];
    int looked = 0, is_right = 0;
    if (look(arguments[0], &views[0], 4, "i") && ++looked && look(arguments[1], &views[1], 8, "lq") && ++looked &&
        look(arguments[2], &views[2], 1, "b") && ++looked && look(arguments[3], &views[3], 4, "f") && ++looked)
        is_right = check_table(&views[2], &views[3], &centroids) &&
                   check_lists(&lists->vectors, &views[0], &views[1], centroids.count, opened->scratch.marks) &&
                   make_blocks(&lists->vectors, &lists->shape, views[0].buf, views[1].buf, centroids.count,
                               &lists->items) &&
                   make_blocks(&centroids, &lists->shape, NULL, NULL, 1, &lists->centroids);
    while (looked)
        PyBuffer_Release(&views[--looked]);
    return is_right;
}

/* Take the working memory, or where another thread's call is in the middle of a long scan, one of this call's own: NULL
   with an error set where there is no room. */
static Scratch *take_scratch(Opened *opened)
{
    if (!opened->is_busy) {
        opened->is_busy = 1;
        return &opened->scratch;
    }
    Scratch *own = PyMem_Calloc(1, sizeof *own);
    if (own == NULL)
        return (Scratch *)PyErr_NoMemory();
    if (make_scratch(&opened->lists, own))
        return own;
    free_scratch(own);
    PyMem_Free(own);
    return NULL;
}

static void put_back(Opened *opened, Scratch *scratch)
{
    if (scratch == &opened->scratch) {
        opened->is_busy = 0;
    } else if (scratch != NULL) {
        free_scratch(scratch);
        PyMem_Free(scratch);
    }
}

/* Search with arguments that are borrowed and checked: query, excluded, rows, parts. */
static int64_t search(const Lists *lists, Scratch *scratch, int64_t count, int64_t nprobe, const Py_buffer views[4])
{
    const Level *by = level; /* another thread may choose another one meanwhile */
    const int64_t *excluded = views[1].buf, num_excluded = views[1].len / 8;
    if (begin_search(lists, scratch, by, views[0].buf, count, nprobe, excluded, num_excluded) > LONG_SCAN) {
        PyThreadState *state = PyEval_SaveThread();
        scan_lists(lists, scratch, by);
        PyEval_RestoreThread(state);
        unmark(lists, scratch, NULL, 0); /* who gave the rows may have changed them meanwhile */
    } else {
        scan_lists(lists, scratch, by);
        unmark(lists, scratch, excluded, num_excluded);
    }
    return end_search(lists, scratch, by, views[2].buf, views[3].buf);
}

PyObject *py_open_lists(PyObject *self, PyObject *const *arguments, Py_ssize_t number)
{
    (void)self;
    if (number != 3 && number != 7)
        return refuse("open_lists takes values, scales, bounds, and for lists rows, starts, centroids, their scales");
    Opened *opened = PyMem_Calloc(1, sizeof *opened);
    if (opened == NULL)
        return PyErr_NoMemory();
    PyObject *capsule = NULL;
    if (hold_table(opened, arguments) && make_shape(&opened->lists.vectors, &opened->lists.shape) &&
        make_scratch(&opened->lists, &opened->scratch) && (number == 3 || make_lists(opened, arguments + 3)))
        capsule = PyCapsule_New(opened, CAPSULE, close_capsule);
    if (capsule == NULL)
        close_opened(opened);
    return capsule;
}

PyObject *py_search(PyObject *self, PyObject *const *arguments, Py_ssize_t number)
{
    (void)self;
    if (number != 7)
        return refuse("search takes lists, query, count, nprobe, excluded, rows, parts");
    Opened *opened = PyCapsule_GetPointer(arguments[0], CAPSULE);
    if (opened == NULL)
        return NULL;
    Lists *lists = &opened->lists;
    int64_t count = PyLong_AsLongLong(arguments[2]);
    if (PyErr_Occurred())
        return NULL;
    int64_t nprobe = PyLong_AsLongLong(arguments[3]);
    if (PyErr_Occurred())
        return NULL;
    if (count < 1 || count > INT32_MAX || nprobe < 1)
        return refuse("count and nprobe are at least 1");
    count = count < lists->vectors.count ? count : lists->vectors.count;
    /* Those who only score rows need no second copy of them. */
    if (lists->items.num_lists == 0 && !make_blocks(&lists->vectors, &lists->shape, NULL, NULL, 1, &lists->items))
        return NULL;
    nprobe = nprobe < lists->items.num_lists ? nprobe : lists->items.num_lists;
    Py_buffer views[4];
    int borrowed = 0;
    int64_t found = -1;
    Scratch *scratch = take_scratch(opened);
    if (scratch != NULL && make_room(scratch, count, nprobe) &&
        borrow(arguments[1], &views[0], 0, lists->vectors.width * 4, 1) && ++borrowed &&
        borrow(arguments[4], &views[1], 0, 0, 0) && ++borrowed && borrow(arguments[5], &views[2], 1, count * 8, 0) &&
        ++borrowed && borrow(arguments[6], &views[3], 1, count * lists->vectors.branches * 4, 0) && ++borrowed &&
        is_apart(&views[2], views, 4) && is_apart(&views[3], views, 4) && is_apart(&views[2], opened->held, HELD) &&
        is_apart(&views[3], opened->held, HELD) && rows_are_within(&views[1], lists->vectors.count))
        found = search(lists, scratch, count, nprobe, views);
    put_back(opened, scratch);
    give_back(views, borrowed);
    return found < 0 ? NULL : PyLong_FromLongLong(found);
}

PyObject *py_score_rows(PyObject *self, PyObject *const *arguments, Py_ssize_t number)
{
    (void)self;
    if (number != 4)
        return refuse("score_rows takes lists, query, rows, parts");
    Opened *opened = PyCapsule_GetPointer(arguments[0], CAPSULE);
    if (opened == NULL)
        return NULL;
    const Table *table = &opened->lists.vectors;
    Py_buffer views[3];
    int borrowed = 0, is_right = 0;
    Scratch *scratch = take_scratch(opened);
    if (scratch != NULL && borrow(arguments[1], &views[0], 0, table->width * 4, 1) && ++borrowed &&
        borrow(arguments[2], &views[1], 0, 0, 0) && ++borrowed &&
        borrow(arguments[3], &views[2], 1, views[1].len / 8 * table->branches * 4, 1) && ++borrowed &&
        is_apart(&views[2], views, 3) && is_apart(&views[2], opened->held, HELD) && rows_are_within(&views[1], table->count)) {
        score_rows(&opened->lists, scratch, level, views[0].buf, views[1].buf, views[1].len / 8, views[2].buf);
        is_right = 1;
    }
    put_back(opened, scratch);
    give_back(views, borrowed);
    if (!is_right)
        return NULL;
    Py_RETURN_NONE;
}
