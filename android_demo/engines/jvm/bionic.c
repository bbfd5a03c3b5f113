/*
 * The C library's functions that onnxruntime's Android JNI library asks of Android's libc.so, libm.so and libdl.so, handed
 * on to the C library of this machine, so that the library of the Android archive runs in a JVM on Linux.
 *
 * A function is defined under a name of its own and exported as NAME@LIBC, which is what Android's libraries ask for;
 * inside it calls NAME of the glibc version that build.sh's compiler links.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define EXPORTED(name) __asm__(".symver android_" #name "," #name "@LIBC")

extern int __cxa_atexit(void (*function)(void *), void *argument, void *library);
extern void __cxa_finalize(void *library);
extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library);
extern void __stack_chk_fail(void) __attribute__((noreturn));
extern int dlclose(void *library);

EXPORTED(__cxa_atexit);
int android___cxa_atexit(void (*function)(void *), void *argument, void *library) {
    return __cxa_atexit(function, argument, library);
}

EXPORTED(__cxa_finalize);
void android___cxa_finalize(void *library) { __cxa_finalize(library); }

EXPORTED(__register_atfork);
int android___register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *library) {
    return __register_atfork(prepare, parent, child, library);
}

EXPORTED(__stack_chk_fail);
void android___stack_chk_fail(void) { __stack_chk_fail(); }

EXPORTED(dlclose);
int android_dlclose(void *library) { return dlclose(library); }

EXPORTED(malloc);
void *android_malloc(size_t size) { return malloc(size); }

EXPORTED(realloc);
void *android_realloc(void *memory, size_t size) { return realloc(memory, size); }

EXPORTED(free);
void android_free(void *memory) { free(memory); }

EXPORTED(memcpy);
void *android_memcpy(void *to, const void *from, size_t size) { return memcpy(to, from, size); }

EXPORTED(strlen);
size_t android_strlen(const char *text) { return strlen(text); }

/* Android's neural networks API, which onnxruntime for Linux is built without and nothing here asks for. */
__asm__(".symver android_nnapi,OrtSessionOptionsAppendExecutionProvider_Nnapi@ONNXRUNTIME");
void *android_nnapi(void *options, unsigned flags) {
    (void)options;
    (void)flags;
    return NULL;
}
