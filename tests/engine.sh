# shellcheck shell=bash
# Gives tests a container engine and, in it, the image of a DynamoDB. Sourced, not run.
#
# prepare_engine takes the first of these that works, and says why one does not:
#
#   1. an engine that answers already, by DOCKER_HOST or where docker looks by itself;
#   2. as root on Debian, an engine installed from the distribution and started here, with folders,
#      socket and pid file of its own; runs share it, the last one to leave stops it;
#   3. none: tests/dynamodb.py starts the server as a child process.
#
# The image is DYNAMODB_IMAGE if it is there or can be pulled, else one that is built here from
# tests/ministack. What a run finds there already, it does not make again.
#
# DYNAMODB_WAY=process chooses the third way.

if [ "$(id -u)" = 0 ]; then
    engine_home=/var/lib/voice-agent-tests
else
    engine_home=${XDG_CACHE_HOME:-$HOME/.cache}/voice-agent-tests
fi
base_image=localhost/python:3.13-slim
docker=docker
engine_hold=
engine_found=

engine_says() {
    echo "DynamoDB for tests: $*"
}

# prepare_engine PYTHON: exports DOCKER_HOST, DYNAMODB_IMAGE, DYNAMODB_WAY and DYNAMODB_ENGINE for
# tests/dynamodb.py. Never fails.
prepare_engine() {
    local python=$1 default_image stand_in
    if [ "${DYNAMODB_WAY:-}" = process ]; then
        engine_says "a child process, as DYNAMODB_WAY asks."
        return
    fi
    if ! find_engine; then
        export DYNAMODB_WAY=process DYNAMODB_ENGINE="no container engine works here"
        engine_says "$DYNAMODB_ENGINE; a child process."
        return
    fi
    export DYNAMODB_ENGINE="container engine $engine_found here"
    read -r default_image stand_in < <("$python" -m tests.dynamodb)
    DYNAMODB_IMAGE=${DYNAMODB_IMAGE:-$default_image}
    export DYNAMODB_IMAGE
    if image_is_there "$DYNAMODB_IMAGE" || pull "$DYNAMODB_IMAGE"; then
        engine_says "$DYNAMODB_ENGINE, image $DYNAMODB_IMAGE."
    elif exclusively image build_stand_in "$python" "$stand_in"; then
        engine_says "$DYNAMODB_ENGINE, image $stand_in, for $DYNAMODB_IMAGE cannot be pulled."
        DYNAMODB_IMAGE=$stand_in
    else
        export DYNAMODB_WAY=process DYNAMODB_ENGINE="no image for the $DYNAMODB_ENGINE"
        engine_says "$DYNAMODB_ENGINE; a child process."
    fi
}

# find_engine: an engine answers at DOCKER_HOST, which is exported; "found" or "installed" here.
find_engine() {
    [ -z "$engine_found" ] || return 0
    if engine_answers; then
        DOCKER_HOST=${DOCKER_HOST:-$("$docker" context inspect --format '{{.Endpoints.docker.Host}}')}
        engine_found=found
    elif own_engine; then
        DOCKER_HOST=unix://$engine_home/docker.sock
        engine_found=installed
    else
        return 1
    fi
    export DOCKER_HOST
}

engine_answers() {
    timeout 10 "$docker" version >/dev/null 2>&1
}

# exclusively NAME COMMAND...: one run at a time on this machine. What outlives COMMAND closes $lock.
exclusively() {
    local name=$1 lock status=0
    shift
    mkdir -p "$engine_home"
    exec {lock}>"$engine_home/$name.lock"
    flock "$lock"
    "$@" || status=$?
    exec {lock}>&-
    return "$status"
}

# The tail of a log, with what failed.
show_failure() {
    engine_says "$1; the end of its log:" >&2
    tail -n 20 "$2" | sed 's/^/    /' >&2
}

# Install Debian's packages without letting them start their services.
install_packages() {
    local log=$engine_home/install.log rc_policy=/usr/sbin/policy-rc.d is_ours='' status=0
    if [ "$(id -u)" != 0 ] || ! [ -e /etc/debian_version ] || ! command -v apt-get >/dev/null; then
        engine_says "$* cannot be installed here: that takes root on Debian."
        return 1
    fi
    engine_says "installing $* ..."
    if ! [ -e "$rc_policy" ]; then
        is_ours=yes
        printf '#!/bin/sh\nexit 101\n' >"$rc_policy"
        chmod 755 "$rc_policy"
    fi
    {
        apt-get -q update -o DPkg::Lock::Timeout=120 &&
            DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends \
                -o DPkg::Lock::Timeout=120 "$@"
    } >"$log" 2>&1 </dev/null || status=$?
    [ -z "$is_ours" ] || rm -f "$rc_policy"
    [ "$status" = 0 ] || show_failure "$* did not install" "$log"
    return "$status"
}

# The engine of this script's own, held by this run until leave_engine.
own_engine() {
    [ "$(id -u)" = 0 ] || {
        engine_says "no container engine answers, and to install one takes root on Debian."
        return 1
    }
    export PATH="$PATH:/usr/sbin:/sbin"
    mkdir -p "$engine_home"
    exec {engine_hold}>"$engine_home/in-use.lock"
    flock --shared "$engine_hold"
    exclusively start start_engine || {
        leave_engine
        return 1
    }
}

own_engine_answers() {
    DOCKER_HOST="unix://$engine_home/docker.sock" engine_answers
}

# own_process NAME PIDFILE: prints the pid in the file while that program runs under it. One that is
# dead and not yet reaped has no program.
own_process() {
    local pid
    pid=$(cat "$2" 2>/dev/null) || return 1 # in a trap a bare one would say 0
    case $(readlink "/proc/$pid/exe") in
        */"$1" | */"$1 (deleted)") echo "$pid" ;;
        *) return 1 ;;
    esac
}

# stop_own_process NAME PIDFILE: end it in an orderly way, and wait for the end.
stop_own_process() {
    local pid tries=0
    pid=$(own_process "$1" "$2") || return 0
    kill "$pid"
    while own_process "$1" "$2" >/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -gt 300 ]; then
            engine_says "$1 ($pid) does not stop." >&2
            return
        fi
        sleep 0.2
    done
}

start_engine() {
    local log=$engine_home/dockerd.log
    if ! command -v dockerd >/dev/null || ! command -v iptables >/dev/null ||
        ! [ -x /usr/bin/docker ]; then
        install_packages docker.io iptables ca-certificates || return
    fi
    docker=/usr/bin/docker # another client on the path may be too new for Debian's engine
    own_engine_answers && return
    # What a killed engine has left would stop this one.
    own_process dockerd "$engine_home/docker.pid" >/dev/null || rm -f "$engine_home/docker.pid"
    stop_own_process containerd "$engine_home/run/containerd/containerd.pid"
    setsid dockerd --data-root "$engine_home/data" --exec-root "$engine_home/run" \
        --pidfile "$engine_home/docker.pid" --storage-driver "$(storage_driver)" \
        --ip 127.0.0.1 -H "unix://$engine_home/docker.sock" \
        </dev/null >"$log" 2>&1 {engine_hold}>&- {lock}>&- &
    local started=$! tries=0
    until own_engine_answers; do
        tries=$((tries + 1))
        if [ "$tries" -gt 150 ] || ! kill -0 "$started" 2>/dev/null; then
            show_failure "dockerd did not start" "$log"
            stop_engine
            return 1
        fi
        sleep 0.2
    done
}

# overlay2 where the folder can hold it, else the slow driver that works everywhere.
storage_driver() {
    local trial driver=vfs
    trial=$(mktemp -d "$engine_home/trial.XXXXXX")
    mkdir "$trial/lower" "$trial/upper" "$trial/work" "$trial/merged"
    if mount -t overlay overlay "$trial/merged" 2>/dev/null \
        -o "lowerdir=$trial/lower,upperdir=$trial/upper,workdir=$trial/work"; then
        umount "$trial/merged"
        driver=overlay2
    fi
    rm -rf "$trial"
    echo "$driver"
}

# End this run's hold on the own engine, if it has one; the last run to leave stops the engine.
leave_engine() {
    [ -n "$engine_hold" ] || return 0
    if flock --exclusive --nonblock "$engine_hold"; then
        stop_engine
    fi
    exec {engine_hold}>&-
    engine_hold=
}

stop_engine() {
    stop_own_process dockerd "$engine_home/docker.pid"
}

image_is_there() {
    "$docker" image inspect "$1" >/dev/null 2>&1
}

# The manifest first: where no registry is reachable that is known within seconds.
pull() {
    case $1 in localhost/*) return 1 ;; esac
    timeout 5 "$docker" manifest inspect "$1" >/dev/null 2>&1 &&
        timeout 300 "$docker" pull --quiet "$1" >/dev/null
}

# build_stand_in PYTHON IMAGE: ministack in an image, of what tests/ministack says now.
build_stand_in() {
    local python=$1 image=$2 context log=$engine_home/build.log sources status=0
    sources=$(cat tests/ministack/Dockerfile tests/ministack/requirements.txt | sha256sum)
    sources=${sources%% *}
    [ "$("$docker" image inspect --format '{{.Config.Labels.sources}}' "$image" 2>/dev/null)" = \
        "$sources" ] && return
    image_is_there "$base_image" || build_base || return
    engine_says "building $image ..."
    context=$(mktemp -d)
    cp tests/ministack/Dockerfile tests/ministack/requirements.txt "$context"
    {
        fetch_wheels "$python" tests/ministack/requirements.txt "$context/wheels" &&
            "$docker" build --build-arg BASE_IMAGE="$base_image" --network none --label \
                "sources=$sources" --tag "$image" "$context"
    } >"$log" 2>&1 || status=$?
    rm -rf "$context"
    [ "$status" = 0 ] || show_failure "$image did not build" "$log"
    return "$status"
}

# fetch_wheels PYTHON FILE FOLDER: the wheels FILE has locked, for the base image's Python, by
# whatever index pip knows on this machine.
fetch_wheels() {
    local platform platforms=()
    for platform in manylinux_2_28 manylinux_2_17 manylinux2014; do
        platforms+=(--platform "${platform}_$(uname -m)")
    done
    "$1" -m pip download --quiet --disable-pip-version-check --require-hashes --no-deps \
        --only-binary=:all: --python-version 3.13 --implementation cp --abi cp313 --abi abi3 \
        --abi none "${platforms[@]}" --requirement "$2" --dest "$3"
}

# A stand-in for the public image of the same name after the slash, from Debian's packages.
build_base() {
    local log=$engine_home/base.log packages=ca-certificates,python3,python3-venv,python-is-python3
    command -v mmdebstrap >/dev/null || install_packages mmdebstrap || return
    engine_says "building $base_image ..."
    if ! mmdebstrap --variant=minbase --include="$packages" trixie - "$(debian_mirror)" \
        2>"$log" </dev/null | "$docker" import - "$base_image" >/dev/null; then
        show_failure "$base_image did not build" "$log"
        "$docker" image rm "$base_image" >/dev/null 2>&1
        return 1
    fi
}

# Where this machine's own packages come from; without an answer mmdebstrap knows one.
debian_mirror() {
    local release
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    # shellcheck disable=SC2016 # apt's placeholder, not the shell's
    apt-get indextargets --format '$(REPO_URI)' "Release: $release" "Created-By: Packages" |
        head -n 1
}
