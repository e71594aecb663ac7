/* What every call of the module does with its arguments: hold them, check them, refuse them. */
#ifndef GNAS_ARGUMENTS_H
#define GNAS_ARGUMENTS_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "products.h"

extern const Level *level; /* what computes */

/* Raise a ValueError: NULL. */
PyObject *refuse(const char *what);

/* Zeros that begin where a line of the cache does. NULL where there is no room, with an error set or without. */
void *zeros(int64_t number, size_t size);
void *quiet_zeros(int64_t number, size_t size);

/* Look at one argument's memory; of `size` bytes an element. 0, with an error set, where it is not that. */
int look(PyObject *argument, Py_buffer *view, Py_ssize_t size, const char *formats);

/* Borrow an argument's memory for one call; of `least` bytes or more, or of exactly so many. */
int borrow(PyObject *argument, Py_buffer *view, int is_written, int64_t least, int is_exact);

/* Check that what is written shares no memory with others, itself left out: 0 with an error set where it does. */
int is_apart(const Py_buffer *written, const Py_buffer *others, int number);

void give_back(Py_buffer *views, int number);

/* Check borrowed int64 rows, 0 with an error set where one is not below `count`. */
int rows_are_within(const Py_buffer *view, int64_t count);

/* The calls of lists_module.c and links_module.c; what they take is in ../_native.pyi. */
PyObject *py_open_lists(PyObject *self, PyObject *const *arguments, Py_ssize_t number);
PyObject *py_search(PyObject *self, PyObject *const *arguments, Py_ssize_t number);
PyObject *py_score_rows(PyObject *self, PyObject *const *arguments, Py_ssize_t number);
PyObject *py_open_links(PyObject *self, PyObject *const *arguments, Py_ssize_t number);
PyObject *py_follow(PyObject *self, PyObject *const *arguments, Py_ssize_t number);
PyObject *py_scores_at(PyObject *self, PyObject *const *arguments, Py_ssize_t number);

#endif
