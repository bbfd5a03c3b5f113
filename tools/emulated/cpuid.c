/* cpuid as a processor without AVX-512, AVX-VNNI, GFNI and AMX answers it: without_avx512.py's, for LD_PRELOAD.
 *
 * Libraries there have the bytes TRAP where cpuid was. No compiler emits them (it does emit ud2), so whoever
 * gets SIGILL for another reason still gets it. Handlers that the process sets for SIGILL are kept for that
 * and called from here: Python's faulthandler would otherwise replace this one. Whoever calls open or
 * open64 on /proc/cpuinfo gets the file CPUINFO. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <ucontext.h>

static const unsigned char TRAP[2] = {0x0f, 0x04}; /* an opcode that no processor defines */

/* Bits of leaf 7, as the manuals number them, and of its subleaf 1. */
#define BIT(n) (1u << (n))
enum { FEATURES = 7, AVX10 = 0x24 };
/* AVX512: F DQ IFMA PF ER CD BW VL */
static const unsigned EBX = BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31);
/* AVX512-VBMI AVX512-VBMI2 GFNI AVX512-VNNI AVX512-BITALG AVX512-VPOPCNTDQ */
static const unsigned ECX = BIT(1) | BIT(6) | BIT(8) | BIT(11) | BIT(12) | BIT(14);
/* AVX512-4VNNIW AVX512-4FMAPS AVX512-VP2INTERSECT AMX-BF16 AVX512-FP16 AMX-TILE AMX-INT8 */
static const unsigned EDX = BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25);
/* AVX-VNNI AVX512-BF16 AMX-FP16 AVX-IFMA */
static const unsigned EAX_1 = BIT(4) | BIT(5) | BIT(21) | BIT(23);
/* AVX-VNNI-INT8 AVX-NE-CONVERT AMX-COMPLEX AVX-VNNI-INT16 AVX10 */
static const unsigned EDX_1 = BIT(4) | BIT(5) | BIT(8) | BIT(10) | BIT(19);

static struct sigaction others; /* what the rest of the process wants of SIGILL */
static int (*real_sigaction)(int, const struct sigaction *, struct sigaction *);

static void answer(greg_t *registers) {
    unsigned leaf = registers[REG_RAX], part = registers[REG_RCX], a, b, c, d;
    __cpuid_count(leaf, part, a, b, c, d);
    if (leaf == FEATURES && part == 0) b &= ~EBX, c &= ~ECX, d &= ~EDX;
    if (leaf == FEATURES && part == 1) a &= ~EAX_1, d &= ~EDX_1;
    if (leaf == AVX10) a = b = c = d = 0;
    registers[REG_RAX] = a, registers[REG_RBX] = b, registers[REG_RCX] = c, registers[REG_RDX] = d;
    registers[REG_RIP] += sizeof TRAP;
}

static void handle(int signal, siginfo_t *about, void *context) {
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    if (about->si_code > 0 && !memcmp((void *)registers[REG_RIP], TRAP, sizeof TRAP)) {
        answer(registers);
    } else if (others.sa_handler == SIG_DFL || others.sa_handler == SIG_IGN) {
        real_sigaction(SIGILL, &others, NULL); /* the instruction is met once more */
        if (about->si_code <= 0) raise(SIGILL); /* sent by someone, so no instruction would */
    } else if (others.sa_flags & SA_SIGINFO) {
        others.sa_sigaction(signal, about, context);
    } else {
        others.sa_handler(signal);
    }
}

static void prepare(void) {
    if (!real_sigaction) *(void **)&real_sigaction = dlsym(RTLD_NEXT, "sigaction");
}

int sigaction(int signal, const struct sigaction *new, struct sigaction *old) {
    prepare();
    if (signal != SIGILL) return real_sigaction(signal, new, old);
    struct sigaction before = others;
    if (new) others = *new;
    if (old) *old = before;
    return 0;
}

sighandler_t signal(int number, sighandler_t handler) {
    struct sigaction new = {.sa_handler = handler, .sa_flags = SA_RESTART}, old;
    return sigaction(number, &new, &old) ? SIG_ERR : old.sa_handler;
}

#define OPEN(name)                                                                \
    int name(const char *path, int flags, ...) {                                  \
        static int (*real)(const char *, int, ...);                               \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                     \
        va_list rest;                                                             \
        va_start(rest, flags);                                                    \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;   \
        va_end(rest);                                                             \
        return real(path && !strcmp(path, "/proc/cpuinfo") ? CPUINFO : path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

__attribute__((constructor)) static void begin(void) {
    struct sigaction ours = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    prepare();
    real_sigaction(SIGILL, &ours, &others);
}
