# Sourced by swift.sh: the libraries that the engines are linked against on Linux, and what their tests read.
#
# Nothing is installed here: what tools/phone/install.sh and .venv have is used, and where something is missing, its
# engine is left out and that is said. Sets
#   engine_environment   for Package.swift and the tests
#   engine_options       for compiler and linker
#   engine_mounts        folders to be visible at their own paths
engine_environment=(LD_LIBRARY_PATH="$out/lib")
engine_options=(-Xlinker "-L$out/lib" -Xlinker -rpath -Xlinker "$out/lib" -Xlinker --allow-shlib-undefined)
engine_mounts=()

# without ENGINE SENTENCE
without() {
    echo "Without the $1 engine: $2" >&2
}

find_onnxruntime() {
    local complete folder
    complete="$(ls -t "$tools"/kotlin-*/complete 2>/dev/null | head -n 1)"
    folder="${complete%/complete}/onnxruntime"
    if [ -z "$complete" ] || [ ! -e "$folder/headers/onnxruntime_c_api.h" ]; then
        without ONNX "onnxruntime is not there; run tools/phone/install.sh."
        return
    fi
    ln -sf "$folder/libonnxruntime.so" "$out/lib/libonnxruntime.so"
    ln -sf "$folder/libonnxruntime.so" "$out/lib/libonnxruntime.so.1" # the name that it gives itself
    engine_environment+=(POCKETVL_ONNXRUNTIME="$folder")
    engine_options+=(-Xcc "-I$folder/headers")
}

find_executorch() {
    local found
    if [ ! -x "$venv/bin/python" ] || ! "$repository/native/build.sh" "$venv" "$out/lib"; then
        without ExecuTorch "native/build.sh needs $venv with executorch; make it with \`make test-python\`."
        return
    fi
    # Where the packages lie, and the interpreter's library, which they want though it is not started.
    mapfile -t found < <("$venv/bin/python" - <<'PYTHON'
import importlib.util, pathlib, sysconfig
print(pathlib.Path(next(iter(importlib.util.find_spec("executorch").submodule_search_locations))).parent)
print(pathlib.Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME")))
PYTHON
    )
    engine_mounts+=("${found[0]}")
    cp -u "${found[1]}" "$out/lib/"
    engine_environment+=(POCKETVL_EXECUTORCH="$out/lib")
}

# Python inside of the root folder, which evaluates Core ML's packages in the engine's tests.
find_evaluator() {
    local prefix
    prefix="$("$venv/bin/python" -c 'import sys, coremltools.proto; print(sys.base_prefix)' 2>/dev/null || true)"
    case "$prefix" in
    "") without "Core ML" "its tests need $venv with coremltools; make it with \`make test-python\`." ;;
    /usr | /usr/local)
        if [ "$root" = / ]; then
            engine_environment+=(POCKETVL_EVALUATOR="$venv/bin/python")
        else
            without "Core ML" "its tests need a Python that does not lie in $prefix, to run in Swift's root folder."
        fi
        ;;
    *)
        engine_mounts+=("$prefix")
        engine_environment+=(POCKETVL_EVALUATOR="$venv/bin/python")
        ;;
    esac
}

# The bundles of the tiny model with Python's answers, the same that Kotlin's engines are tested with.
find_cases() {
    local cases="$repository/android_demo/build/engine-cases" options=()
    case "${engine_environment[*]}" in *POCKETVL_EVALUATOR*) options=(--coreml) ;; esac
    if [ -x "$venv/bin/python" ] &&
        (cd "$repository" && "$venv/bin/python" -m tests.kotlin.engine_cases "$cases" "${options[@]}"); then
        engine_environment+=(POCKETVL_CASES="$cases")
    else
        echo "Without the engines' cases: they need $venv; make it with \`make test-python\`." >&2
    fi
}

venv="$repository/.venv"
mkdir -p "$out/lib"
find_onnxruntime
find_executorch
if [ "$command" = test ]; then find_evaluator; fi
