#!/usr/bin/env bash
# Builds the C interface against the ExecuTorch in a Python environment; Python itself is not started.
#
#   native/build.sh VENV OUT           libpocketvl_executorch.so in OUT, unless it is newer than its sources
#   native/build.sh VENV OUT --test    its tests as well, with AddressSanitizer and UndefinedBehaviorSanitizer
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
[ $# -ge 2 ] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
python="$1/bin/python"
out="$2"

# Where the environment keeps ExecuTorch and torch, and the interpreter's library, whose symbols the wheel wants.
mapfile -t found < <("$python" - <<'PYTHON'
import importlib.util, pathlib, sysconfig
for name in ("executorch", "torch"):
    spec = importlib.util.find_spec(name)
    print(pathlib.Path(next(iter(spec.submodule_search_locations))) if spec else "")
print(pathlib.Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("LDLIBRARY")))
PYTHON
)
executorch="${found[0]}" torch="${found[1]}" libpython="${found[2]}"
[ -n "$executorch" ] && [ -n "$torch" ] || { echo "$1 has no executorch: pip install executorch==1.4.1" >&2; exit 3; }
[ -e "$libpython" ] || { echo "$libpython is missing; ExecuTorch's libraries need Python's" >&2; exit 3; }

folders=("$executorch/extension/pybindings" "$executorch/extension/llm/custom_ops" "$executorch/kernels/quantized")
compile=(g++ -std=c++17 -fPIC -fvisibility=hidden -Wall -Wextra -Wpedantic -Werror -DC10_USING_CUSTOM_GENERATED_MACROS
    -I"$here/include" -I"$here/src" -isystem "$executorch/include"
    -isystem "$executorch/include/executorch/runtime/core/portable_type/c10")
# The operators register themselves when their libraries are loaded, so those are linked though nothing names them.
link=(-Wl,--no-as-needed "$libpython" "$(echo "${folders[0]}"/_portable_lib*.so)"
    "${folders[1]}/libcustom_ops_aot_lib.so" "${folders[2]}/libquantized_ops_aot_lib.so" -Wl,--as-needed
    -Wl,--disable-new-dtags "-Wl,-rpath,$(IFS=:; echo "${folders[*]}"):$torch/lib:$(dirname "$libpython"):$executorch/backends/qualcomm"
    -Wl,--allow-shlib-undefined)

# build FILE OPTION...: compiled from all sources and those among the options, unless FILE is newer.
build() {
    local file="$out/$1"
    shift
    if [ -e "$file" ] && [ -z "$(find "$here/src" "$here/include" "$here/test" "$here/build.sh" -newer "$file" -print -quit)" ]; then
        return
    fi
    mkdir -p "$out"
    "${compile[@]}" "$@" "$here"/src/*.cpp "${link[@]}" -pthread -o "$file.new"
    mv "$file.new" "$file"
}

build libpocketvl_executorch.so -O2 -shared
if [ "${3:-}" = --test ]; then
    build test_native -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined "$here"/test/*.cpp
fi
