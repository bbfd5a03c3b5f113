"""What Linux says of an Arm processor: names of features, and the /proc/cpuinfo of an emulated one."""

import ctypes

# (implementer, part) as in the main ID register, under qemu's names
PARTS = {
    "cortex-a35": (0x41, 0xD04),
    "cortex-a53": (0x41, 0xD03),
    "cortex-a57": (0x41, 0xD07),
    "cortex-a72": (0x41, 0xD08),
    "cortex-a76": (0x41, 0xD0B),
    "neoverse-n1": (0x41, 0xD0C),
    "a64fx": (0x46, 0x001),
    "max": (0x00, 0x051),
}
# Names of the bits of AT_HWCAP and AT_HWCAP2, from 0 on: arch/arm64/kernel/cpuinfo.c of Linux
HWCAP = """
    fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm jscvt fcma lrcpc dcpop sha3
    sm3 sm4 asimddp sha512 sve asimdfhm dit uscat ilrcpc flagm ssbs sb paca pacg
    """.split()  # noqa: SIM905
HWCAP2 = """
    dcpodp sve2 sveaes svepmull svebitperm svesha3 svesm4 flagm2 frint svei8mm svef32mm svef64mm svebf16 i8mm
    bf16 dgh rng bti mte ecv afp rpres mte3 sme smei16i64 smef64f64 smei8i32 smef16f32 smeb16f32 smef32f32
    smefa64 wfxt
    """.split()  # noqa: SIM905
AT_HWCAP, AT_HWCAP2 = 16, 26


def features() -> list[str]:
    """Of the processor that this runs on; empty where the C library has no getauxval."""
    getauxval = getattr(ctypes.CDLL(None), "getauxval", None)
    if getauxval is None:
        return []
    getauxval.restype, getauxval.argtypes = ctypes.c_ulong, [ctypes.c_ulong]
    found = []
    for kind, bits in ((AT_HWCAP, HWCAP), (AT_HWCAP2, HWCAP2)):
        word = getauxval(kind)
        found += [name for bit, name in enumerate(bits) if word >> bit & 1]
    return found


def cpuinfo(cpu: str, features: list[str], processors: int) -> str:
    """/proc/cpuinfo as Linux writes it. Raises KeyError for a CPU that PARTS lacks."""
    implementer, part = PARTS[cpu.partition(",")[0]]
    lines = [
        "BogoMIPS\t: 100.00",
        f"Features\t: {' '.join(features)}",
        f"CPU implementer\t: {implementer:#04x}",
        "CPU architecture: 8",
        "CPU variant\t: 0x0",
        f"CPU part\t: {part:#05x}",
        "CPU revision\t: 0",
    ]
    return "".join("\n".join([f"processor\t: {n}", *lines, "", ""]) for n in range(processors))


if __name__ == "__main__":
    print(*features())
