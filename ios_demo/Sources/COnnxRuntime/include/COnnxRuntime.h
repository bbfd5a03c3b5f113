/*
 * onnxruntime's C API: from its framework on Apple platforms, elsewhere from a folder that the compiler was told. And what
 * Swift cannot name of the C library.
 */
#ifndef POCKETVL_ONNXRUNTIME_H
#define POCKETVL_ONNXRUNTIME_H

#if __has_include(<onnxruntime/onnxruntime_c_api.h>)
#include <onnxruntime/onnxruntime_c_api.h>
#else
#include <onnxruntime_c_api.h>
#endif

#ifdef __linux__
#include <malloc.h>
#endif

/* Gives freed memory back to the system; glibc would keep what a released model took. Others do so by themselves. */
static inline void pv_return_memory(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

#endif
