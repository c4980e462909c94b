#!/usr/bin/env bash
# Every check and every test, in an environment this script makes itself. CI runs just this.
#
#   bash tests/run.sh            all of it
#   bash tests/run.sh quick      the checks, and the tests that need nothing but Python (tests/needs.py)
#   bash tests/run.sh -k word    the checks, and the tests pytest selects with these arguments
#
# DYNAMODB_IMAGE and DYNAMODB_WAY choose the DynamoDB of tests (tests/engine.sh).
# HYPOTHESIS_PROFILE chooses how hard the promises are tested: dev (200 runs), ci (3,000, the default
# here), nightly (50,000).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What will be installed and how long it takes, before anything happens.
tell_plan() {
    if [ "$lane" = quick ]; then
        echo "Quick: the checks, and the tests that need nothing but Python. It installs nothing but .venv" \
            "(once, half a minute), and takes about a minute and a half on two cores."
        return
    fi
    echo "All checks and tests: about half an hour on two cores, three more at the first time, when it makes" \
        ".venv and .tools (1 GB) in this folder."
    if [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ]; then
        echo "As root on Debian it installs what is missing of docker.io, haproxy, prometheus, chromium and" \
            "libgomp1 with apt-get."
    else
        echo "It installs nothing outside of this folder. Tests of the image need docker, tests of survival" \
            "need haproxy, tests of rules need prometheus, tests of pages need chromium; tests of what is not there" \
            "are left out, and named." \
            "'bash tests/run.sh quick' needs none of them."
    fi
}

# shellcheck source=tests/environment.sh
. tests/environment.sh
run() {
    printf '\n== %s\n' "$*"
    "$@"
}

bin=.venv/bin
checks() {
    run "$bin/ruff" format --check .
    run "$bin/ruff" check .
    run "$bin/shellcheck" -x tests/run.sh tests/environment.sh tests/engine.sh tests/image.sh tests/balancer.sh tests/browser.sh \
        tests/prometheus.sh tests/local_model.sh tests/templates/lint.sh build-images.sh run-local.sh.sample .ci/run
    run "$bin/mypy" agent tests benchmarks
    run "$bin/lint-imports"
    run env PYTHON_DOTENV_DISABLED=1 "$bin/python" -m agent check
}

# Where a program cannot be had, the tests that need it are left out, and the run says so. It fails with
# REQUIRE_ALL_TESTS=true, as CI sets it.
leave_out_what_is_missing() {
    without=()
    [ -n "${AGENT_TEST_IMAGE:-}" ] || without+=(image)
    command -v haproxy >/dev/null || without+=(balancer)
    command -v chromium >/dev/null || without+=(browser)
    check_voice_sdk || without+=(voice-sdk)
    command -v amtool >/dev/null || without+=(prometheus)
    [ ${#without[@]} -gt 0 ] || return 0
    printf '\n== WITHOUT the tests that need: %s (the reasons stand above)\n' "${without[*]}"
    [ "${REQUIRE_ALL_TESTS:-}" != true ]
}

lane=all
if [ "${1:-}" = quick ]; then
    lane=quick
    shift
fi
tell_plan

# Environments take longest to make, so they are made side by side; what installs Python comes before.
find_python >/dev/null
if [ "$lane" = quick ]; then
    ensure_environment requirements-dev.txt
    told=$(mktemp)
    trap 'rm -f "$told"' EXIT
    checks >"$told" 2>&1 &
    checking=$!
    status=0
    HYPOTHESIS_PROFILE=quick run .venv/bin/pytest --quick -q --numprocesses 3 "$@" || status=$?
    wait "$checking" || status=$?
    cat "$told"
    exit "$status"
fi
{ bash tests/templates/lint.sh environments && ensure_environment docs/requirements.txt .tools/docs; } &
making=$!
ensure_environment requirements-dev.txt
# shellcheck source=tests/engine.sh
. tests/engine.sh
# shellcheck source=tests/image.sh
. tests/image.sh
# shellcheck source=tests/balancer.sh
. tests/balancer.sh
# shellcheck source=tests/browser.sh
. tests/browser.sh
# shellcheck source=tests/prometheus.sh
. tests/prometheus.sh
# shellcheck source=tests/local_model.sh
. tests/local_model.sh

# The checks compute while what the tests need is fetched and built; their output is shown afterwards.
told=$(mktemp)
trap 'rm -f "$told"; leave_engine' EXIT
{ checks; run "$bin/python" -m agent eval configuration; } >"$told" 2>&1 &
checking=$!
run prepare_engine "$bin/python"
run prepare_prometheus || true
run prepare_image "$bin/python"
run prepare_balancer || true
run prepare_browser || true
run prepare_voice_sdk || true
run prepare_local_model
status=0
wait "$checking" || status=$?
cat "$told"
[ "$status" = 0 ] || exit "$status"
wait "$making"
run bash tests/templates/lint.sh
export HYPOTHESIS_PROFILE="${HYPOTHESIS_PROFILE:-ci}"
leave_out_what_is_missing
if [ $# -gt 0 ]; then
    run "$bin/pytest" -q "${without[@]/#/--without=}" "$@"
    exit
fi
# Three at a time, also on two cores: the longest tests wait most of their time.
run "$bin/pytest" -q --numprocesses 3 --dist worksteal --durations=30 --cov=agent --cov-branch --cov-report= \
    "${without[@]/#/--without=}"
run "$bin/coverage" report --fail-under=95
run "$bin/coverage" report --fail-under=100 --include='agent/call/*,agent/twilio/*'
