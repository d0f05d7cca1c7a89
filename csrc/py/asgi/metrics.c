/* SPDX-License-Identifier: MIT */
#include "asgi/metrics.h"

#include <time.h>

/* Upper bounds of the histogram in microseconds: a handler of some lines to one that waits for a
 * slow database, at about even distances on a logarithmic scale. */
static const int64_t bounds[CAM_METRICS_BOUNDS] = {
    100,   250,   500,    1000,   2500,    5000,    10000,
    25000, 50000, 100000, 250000, 1000000, 2500000, 10000000,
};

int64_t CamMetrics_Now(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void CamMetrics_Answered(cam_metrics *metrics, int status, int64_t began) {
    if (status >= 0 && status < CAM_METRICS_STATUS_END) {
        metrics->answers[status]++;
    }
    if (began == 0) {
        return;
    }
    int64_t taken = CamMetrics_Now() - began;
    int bucket = 0;
    while (bucket < CAM_METRICS_BOUNDS && taken > bounds[bucket] * 1000) {
        bucket++;
    }
    metrics->taken[bucket]++;
    metrics->taken_sum += taken;
}

void CamMetrics_Late(cam_metrics *metrics, int64_t due) {
    int64_t late = CamMetrics_Now() - due;
    metrics->late = late > 0 ? late : 0;
    if (metrics->late > metrics->late_most) {
        metrics->late_most = metrics->late;
    }
}

/* {status: answers} of those there were. */
static PyObject *answers_of(const cam_metrics *metrics) {
    PyObject *answers = PyDict_New();
    for (int status = 0; answers && status < CAM_METRICS_STATUS_END; status++) {
        if (metrics->answers[status] == 0) {
            continue;
        }
        PyObject *key = PyLong_FromLong(status);
        PyObject *value = PyLong_FromUnsignedLongLong(metrics->answers[status]);
        if (key == NULL || value == NULL || PyDict_SetItem(answers, key, value) < 0) {
            Py_CLEAR(answers);
        }
        Py_XDECREF(key);
        Py_XDECREF(value);
    }
    return answers;
}

/* [(bound in seconds, answers that took no longer)], the last bound being infinite. */
static PyObject *histogram_of(const cam_metrics *metrics) {
    PyObject *buckets = PyList_New(CAM_METRICS_BOUNDS + 1);
    unsigned long long sum = 0;
    for (int i = 0; buckets && i <= CAM_METRICS_BOUNDS; i++) {
        sum += metrics->taken[i];
        double bound = i < CAM_METRICS_BOUNDS ? (double)bounds[i] / 1e6 : Py_HUGE_VAL;
        PyObject *pair = Py_BuildValue("(dK)", bound, sum);
        if (pair == NULL) {
            Py_CLEAR(buckets);
        } else {
            PyList_SET_ITEM(buckets, i, pair);
        }
    }
    return buckets;
}

PyObject *CamMetrics_Snapshot(cam_metrics *metrics) {
    PyObject *answers = answers_of(metrics);
    PyObject *buckets = answers ? histogram_of(metrics) : NULL;
    if (buckets == NULL) {
        Py_XDECREF(answers);
        return NULL;
    }
    PyObject *snapshot = Py_BuildValue(
        "{s:N,s:N,s:d,s:K,s:K,s:d,s:d}", "answers", answers, "buckets", buckets, "seconds",
        (double)metrics->taken_sum / 1e9, "connections", (unsigned long long)metrics->connections,
        "websockets", (unsigned long long)metrics->websockets, "late", (double)metrics->late / 1e9,
        "late_most", (double)metrics->late_most / 1e9);
    metrics->late_most = 0;
    return snapshot;
}
