/* onnxruntime's C API: from its framework on Apple platforms, elsewhere from a folder that the compiler was told. */
#ifndef POCKETVL_ONNXRUNTIME_H
#define POCKETVL_ONNXRUNTIME_H

#if __has_include(<onnxruntime/onnxruntime_c_api.h>)
#include <onnxruntime/onnxruntime_c_api.h>
#else
#include <onnxruntime_c_api.h>
#endif

#endif
