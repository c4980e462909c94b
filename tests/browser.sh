# shellcheck shell=bash
# Gives tests the browser that opens our pages. Sourced after tests/engine.sh.
#
# Debian's Chromium is driven by Playwright; Playwright's own builds of browsers are not used. Without it
# this fails and says why, and the run leaves out the tests that need it.

# prepare_browser: Chromium is installed, by us where it is missing.
prepare_browser() {
    if ! command -v chromium >/dev/null; then
        exclusively install install_packages chromium || {
            echo "Browser for tests: Chromium is needed (on Debian: apt-get install chromium)." >&2
            return 1
        }
    fi
    echo "Browser for tests: $(chromium --version 2>/dev/null)"
}
