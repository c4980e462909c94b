# shellcheck shell=bash
# Gives tests the Prometheus that reads our rules and scrapes us. Sourced after tests/engine.sh.
#
# Debian's packages have the server, promtool and Alertmanager's amtool. Their own servers are kept from
# starting: each test starts one with a folder and a port of its own. Without them this fails and says
# why, and the run leaves out the tests that need them.

# prepare_prometheus: server, promtool and amtool are installed, by us where one is missing.
prepare_prometheus() {
    local packages="prometheus prometheus-alertmanager"
    if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null ||
        ! command -v amtool >/dev/null; then
        # shellcheck disable=SC2086 # two packages
        exclusively install install_packages $packages || {
            echo "Prometheus for tests: it is needed (on Debian: apt-get install $packages)." >&2
            return 1
        }
    fi
    echo "Prometheus for tests: $(prometheus --version 2>&1 | head -n 1)"
}
