# shellcheck shell=bash
# Gives tests the load balancer that ends TLS before two servers. Sourced after tests/engine.sh.
#
# HAProxy is the nearest to a load balancer of a cloud that Debian has: health checks, draining, one
# address for HTTP and WebSockets. Without it this fails and says
# why, and the run leaves out the tests that need it.

# prepare_balancer: HAProxy is installed, by us where it is missing.
prepare_balancer() {
    export PATH="$PATH:/usr/sbin"
    if ! command -v haproxy >/dev/null; then
        exclusively install install_packages haproxy || {
            echo "Load balancer for tests: HAProxy is needed (on Debian: apt-get install haproxy)." >&2
            return 1
        }
    fi
    echo "Load balancer for tests: $(haproxy -v | head -n 1)"
}
