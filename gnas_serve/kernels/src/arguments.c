#include "arguments.h"

PyObject *refuse(const char *what)
{
    PyErr_SetString(PyExc_ValueError, what);
    return NULL;
}

void *quiet_zeros(int64_t number, size_t size)
{
    const size_t bytes = ((size_t)number * size + 63) / 64 * 64;
    void *memory = aligned_alloc(64, bytes ? bytes : 64);
    return memory == NULL ? NULL : memset(memory, 0, bytes);
}

void *zeros(int64_t number, size_t size)
{
    void *memory = quiet_zeros(number, size);
    return memory == NULL ? PyErr_NoMemory() : memory;
}

int look(PyObject *argument, Py_buffer *view, Py_ssize_t size, const char *formats)
{
    if (PyObject_GetBuffer(argument, view, PyBUF_CONTIG_RO | PyBUF_FORMAT) < 0)
        return 0;
    if (view->itemsize == size && view->format != NULL && view->format[0] != '\0' && view->format[1] == '\0' &&
        strchr(formats, view->format[0]) != NULL)
        return 1;
    PyBuffer_Release(view);
    return refuse("an array of another type") != NULL;
}

int borrow(PyObject *argument, Py_buffer *view, int is_written, int64_t least, int is_exact)
{
    if (PyObject_GetBuffer(argument, view, is_written ? PyBUF_CONTIG : PyBUF_CONTIG_RO) < 0)
        return 0;
    if (view->len < least || (is_exact && view->len != least)) {
        PyBuffer_Release(view);
        return refuse("an array of another length") != NULL;
    }
    return 1;
}

int is_apart(const Py_buffer *written, const Py_buffer *others, int number)
{
    const uintptr_t begin = (uintptr_t)written->buf, end = begin + (uintptr_t)written->len;
    for (int i = 0; i < number; i++) {
        const uintptr_t start = (uintptr_t)others[i].buf, stop = start + (uintptr_t)others[i].len;
        if (&others[i] != written && begin < end && start < stop && begin < stop && start < end)
            return refuse("what is written overlaps with what is read") != NULL;
    }
    return 1;
}

void give_back(Py_buffer *views, int number)
{
    for (int i = 0; i < number; i++)
        PyBuffer_Release(&views[i]);
}

int rows_are_within(const Py_buffer *view, int64_t count)
{
    const int64_t *rows = view->buf, number = view->len / 8;
    int is_right = view->len % 8 == 0;
    for (int64_t i = 0; i < number; i++)
        is_right &= rows[i] >= 0 && rows[i] < count;
    if (!is_right)
        refuse("a row that is not there");
    return is_right;
}
