# shellcheck shell=bash
# Gives tests the browser that opens our pages. Sourced after tests/engine.sh.
#
# Twilio's Voice SDK, Apache-2.0, is a package of npm's: its file is kept in .tools and not in the repository.
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

# prepare_voice_sdk: the file of Twilio's SDK is there, as it was when it was looked at.
voice_sdk=.tools/voice-sdk/twilio.min.js
voice_sdk_version=2.18.5
voice_sdk_sum=35d3cb1b22e309f9884724a89250aecd2de4f1556ad7b67a7bc5e06c73dcb74a
prepare_voice_sdk() {
    if ! check_voice_sdk 2>/dev/null; then
        local folder
        folder=$(mktemp -d)
        mkdir -p "${voice_sdk%/*}"
        npm pack --silent --pack-destination "$folder" "@twilio/voice-sdk@$voice_sdk_version" >/dev/null &&
            tar -xzf "$folder"/*.tgz -C "$folder" package/dist/twilio.min.js &&
            mv "$folder/package/dist/twilio.min.js" "$voice_sdk"
        rm -rf "$folder"
        check_voice_sdk || {
            rm -f "$voice_sdk"
            echo "Voice SDK for tests: npm and its registry are needed." >&2
            return 1
        }
    fi
    echo "Voice SDK for tests: $voice_sdk_version"
}

check_voice_sdk() {
    echo "$voice_sdk_sum  $voice_sdk" | sha256sum --check --status
}
