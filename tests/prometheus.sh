# shellcheck shell=bash
# Gives tests the Prometheus that reads our rules and scrapes us. Sourced after tests/engine.sh.
#
# Debian's package has the server and promtool. Its own server is kept from starting: each test
# starts one with a folder and a port of its own. Without them this fails and says why,
# and the run leaves out the tests that need them.

# prepare_prometheus: server and promtool are installed, by us where one is missing.
prepare_prometheus() {
    if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
        exclusively install install_packages prometheus || {
            echo "Prometheus for tests: it is needed (on Debian: apt-get install prometheus)." >&2
            return 1
        }
    fi
    echo "Prometheus for tests: $(prometheus --version 2>&1 | head -n 1)"
}
