/*
 * Runs the methods of .pte files with ExecuTorch, from any language that can call C.
 *
 * Nothing throws over this border and nothing aborts for a wrong argument: functions that can fail return
 * PV_FAILED and write a sentence into `error`, cut to `error_size` bytes with the final NUL (NULL and 0: not wanted).
 *
 * Each loaded method has memory of its own, so that running lm_head leaves the KV cache of text_decoder alone,
 * though both are in one file. Calls with one program wait for each other; programs may run in several threads at
 * once. No function may be called with a program that is being closed.
 */
#ifndef POCKETVL_EXECUTORCH_H
#define POCKETVL_EXECUTORCH_H

#include <stddef.h>
#include <stdint.h>

#define PV_API __attribute__((visibility("default")))

#ifdef __cplusplus
extern "C" {
#endif

enum { PV_OK = 0, PV_FAILED = 1 };

enum { PV_MAX_RANK = 8, PV_MAX_THREADS = 256 };

/* Element types, with the numbers that ExecuTorch gives them. PV_NO_TENSOR: a number, a list or a text. */
enum { PV_NO_TENSOR = -1, PV_INT64 = 4, PV_FLOAT32 = 6 };

/* What a tensor is, without its data. `dtype` may be another number of ExecuTorch's ScalarType where a file says so. */
typedef struct pv_type {
    int32_t dtype;
    int32_t rank;
    int32_t sizes[PV_MAX_RANK]; /* outermost first; those from `rank` on are 0 */
} pv_type;

/* An input: row-major and without gaps. The memory must stay as it is until the call returns. */
typedef struct pv_tensor {
    pv_type type;
    const void *data;
} pv_tensor;

/* An open .pte file with the methods of it that were loaded. */
typedef struct pv_program pv_program;

/*
 * Opens the file, which must not change until pv_close, and checks its structure. Returns NULL where it fails. Weights
 * are mapped while a method that packs them is loaded, and no longer.
 */
PV_API pv_program *pv_open(const char *path, char *error, size_t error_size);

/* Frees the program and its methods, gives their memory back to the system, and sets *program to NULL; doing so twice
 * is harmless. */
PV_API void pv_close(pv_program **program);

PV_API int32_t pv_method_count(const pv_program *program);

/* The name lives as long as the program; NULL for an index outside of 0 .. pv_method_count - 1. */
PV_API const char *pv_method_name(const pv_program *program, int32_t index);

/*
 * What a method takes and gives, without loading it. A size that may vary is given as its largest: a file does not
 * say which ones may, so pv_run takes smaller ones everywhere, and the caller must know. Writes as many types as there
 * are, at most `capacity`, and how many there are to `count`.
 */
PV_API int pv_inputs(const pv_program *program, const char *method, pv_type *types, int32_t capacity, int32_t *count,
                     char *error, size_t error_size);
PV_API int pv_outputs(const pv_program *program, const char *method, pv_type *types, int32_t capacity, int32_t *count,
                      char *error, size_t error_size);

/* Loads a method; without it the first pv_run does. One that is loaded already stays as it is. */
PV_API int pv_load(pv_program *program, const char *method, char *error, size_t error_size);

/*
 * Runs a method that gives one float32 tensor. Its type is written to `type` and its elements to `output`, which
 * has room for `output_size` bytes; where that is too little, the call fails and `output` stays as it was, though the
 * method has run.
 */
PV_API int pv_run(pv_program *program, const char *method, const pv_tensor *inputs, int32_t input_count, pv_type *type,
                  void *output, size_t output_size, char *error, size_t error_size);

/* The value of a method that takes nothing and gives one integer or truth value, as get_vocab_size. */
PV_API int pv_integer(pv_program *program, const char *method, int64_t *value, char *error, size_t error_size);

/*
 * A method's buffers by their names, where the file has them: "layers.0.attention.k_cache" is the decoder's,
 * float32 (1, slots, kv_heads, head_dim). pv_buffer says what one is, the others copy its first `size` bytes. The
 * method is loaded where it is not.
 */
PV_API int pv_buffer(pv_program *program, const char *method, const char *name, pv_type *type, char *error,
                     size_t error_size);
PV_API int pv_read_buffer(pv_program *program, const char *method, const char *name, void *bytes, size_t size,
                          char *error, size_t error_size);
PV_API int pv_write_buffer(pv_program *program, const char *method, const char *name, const void *bytes, size_t size,
                           char *error, size_t error_size);

/*
 * Sizes the pool of threads that all programs of the process share: 1 .. PV_MAX_THREADS. Another number than the one
 * in use is refused while any method is loaded, since methods hold on to the pool.
 */
PV_API int pv_set_threads(int32_t threads, char *error, size_t error_size);

#ifdef __cplusplus
}
#endif

#endif
