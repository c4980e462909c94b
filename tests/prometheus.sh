# shellcheck shell=bash
# Gives tests the Prometheus that reads our rules and scrapes us. Sourced after tests/engine.sh.
#
# Debian's package has the server and promtool. Its own server is kept from starting: each test
# starts one with a folder and a port of its own. There is no other way and nothing is skipped
# without it: the tests that need it would fail one by one, so this fails first and says why.

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
