# shellcheck shell=bash
# Builds the image of the service for tests, by the Dockerfile that is shipped. Sourced after
# tests/engine.sh.
#
# Where the public base image is there or can be pulled, the build is the one of the README. Elsewhere
# it stands on the base of tests/engine.sh, and is built without a network: the wheels are in an image
# of their own. BuildKit remembers what has not changed.
# shellcheck disable=SC2154 # docker, engine_home and base_image are those of tests/engine.sh
#
# Without a container engine there is no image, and the run leaves its tests out.

image_says() {
    echo "Image for tests: $*"
}

# prepare_image PYTHON: exports AGENT_TEST_IMAGE, AGENT_TEST_COMPOSE, PROMETHEUS_IMAGE and GRAFANA_IMAGE for
# tests/image. Never fails: without them the run leaves out the tests of the image. After
# prepare_prometheus, whose program is in the stand-in.
prepare_image() {
    unset AGENT_TEST_IMAGE AGENT_TEST_COMPOSE
    if ! find_engine; then
        image_says "a container engine is needed." >&2
    elif ! prepare_compose; then
        image_says "Docker Compose is needed." >&2
    elif ! exclusively image build_image "$1"; then
        image_says "it was not built." >&2
    elif ! find_beside PROMETHEUS_IMAGE prometheus "$(command -v prometheus)" ||
        ! find_beside GRAFANA_IMAGE grafana tests/image/stand_ins/stand_in_grafana.py; then
        image_says "no images for the services beside it." >&2
    else
        # Of this checkout: another one may be tested at the same time.
        AGENT_TEST_IMAGE=$(image_tag)
        export AGENT_TEST_IMAGE
        image_says "$AGENT_TEST_IMAGE, on $image_base; $AGENT_TEST_COMPOSE."
    fi
}

# find_beside VARIABLE NAME FILE: exports the image of a service that docker-compose.yml has beside ours: the
# public one, or a stand-in made of FILE.
find_beside() {
    local image
    image=$(sed -n "s/.*\${$1:-\(.*\)}$/\1/p" docker-compose.yml)
    if ! image_is_there "$image" && ! pull "$image"; then
        image=localhost/$2-stand-in:tests
        exclusively image build_beside "$image" "$2" "$3" || return
    fi
    export "$1=$image"
    image_says "$image beside it."
}

# build_beside IMAGE NAME FILE
build_beside() {
    local context status=0 log=$engine_home/$2.log
    image_is_there "$base_image" || build_base || return
    context=$(mktemp -d)
    cp "tests/image/stand_ins/$2.Dockerfile" "$3" "$context" || status=$?
    "$docker" build --network none --build-arg BASE_IMAGE="$base_image" --tag "$1" \
        --file "$context/$2.Dockerfile" "$context" >"$log" 2>&1 || status=$?
    rm -rf "$context"
    [ "$status" = 0 ] || show_failure "$1 did not build" "$log"
    return "$status"
}

image_tag() {
    echo "localhost/voice-agent:tests-$(pwd | sha256sum | cut -c 1-12)"
}

# Compose as part of docker, or the older program of its own, by us where both are missing.
prepare_compose() {
    export AGENT_TEST_COMPOSE="docker compose"
    "$docker" compose version >/dev/null 2>&1 && return
    AGENT_TEST_COMPOSE=docker-compose
    command -v docker-compose >/dev/null || exclusively install install_packages docker-compose
}

build_image() {
    local log=$engine_home/image.log public arguments builder
    public=$(sed -n 's/^ARG BASE_IMAGE=//p' Dockerfile)
    builder=$(building_client) || return
    if image_is_there "$public" || pull "$public"; then
        image_base=$public
        arguments=()
    else
        image_base=$base_image
        build_wheels "$1" || return
        arguments=(--build-arg BASE_IMAGE="$base_image" --network none
            --build-arg WHEELS_IMAGE="$(wheels_tag)" --build-arg PIP_NO_INDEX=1)
    fi
    # shellcheck disable=SC2086 # a program and its first words
    DOCKER_BUILDKIT=1 $builder "${arguments[@]}" --label voice-agent-tests=image \
        --build-arg VERSION=tests --tag "$(image_tag)" . >"$log" 2>&1 || {
        show_failure "$(image_tag) did not build" "$log"
        return 1
    }
    # What this tag was before.
    "$docker" image prune --force --filter label=voice-agent-tests=image >/dev/null
}

# The command that builds with BuildKit: by buildx, or by a client of before it was needed.
building_client() {
    local client version
    for client in "$docker" /usr/bin/docker; do
        if "$client" buildx version >/dev/null 2>&1; then
            echo "$client buildx build --load"
            return
        fi
        version=$("$client" version --format '{{.Client.Version}}' 2>/dev/null) || continue
        if [ "${version%%.*}" -lt 23 ]; then
            echo "$client build"
            return
        fi
    done
    image_says "a docker with buildx is needed, or Debian's docker.io." >&2
    return 1
}

wheels_tag() {
    echo "localhost/voice-agent-wheels:$(sha256sum requirements.txt | cut -c 1-12)"
}

# What requirements.txt has locked, for the stand-in of the base image, and that.
build_wheels() {
    local image context log=$engine_home/wheels.log status=0
    image=$(wheels_tag)
    image_is_there "$base_image" || build_base || return
    image_is_there "$image" && return
    image_says "building $image ..."
    context=$(mktemp -d)
    printf 'FROM scratch\nCOPY wheels /wheels\n' >"$context/Dockerfile"
    {
        fetch_wheels "$1" requirements.txt "$context/wheels" &&
            "$docker" build --network none --tag "$image" "$context"
    } >"$log" 2>&1 || status=$?
    rm -rf "$context"
    [ "$status" = 0 ] || show_failure "$image did not build" "$log"
    return "$status"
}
