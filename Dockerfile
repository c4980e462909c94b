# The service in a container: port 3000 for Twilio, port 9090 for operators.
#
#   docker build --tag voice-agent .
#   docker run --rm --init --publish 3000:3000 voice-agent      takes calls, with the offline model
#
# docs/start/container.md has more.
# Needs BuildKit, the builder of every Docker since 23; DOCKER_BUILDKIT=1 chooses it before that.
# What is fetched is locked: the base image by digest, packages by hash. To take a newer base:
#
#   docker buildx imagetools inspect python:3.13-slim --format '{{.Manifest.Digest}}'
#
# All of it is in a virtual environment, so that any image with Python 3.11 or newer can be the base.
# Where pip does not trust the index by itself: --secret id=ca-bundle,src=FILE. Where there is none:
# --build-arg PIP_NO_INDEX=1, and a WHEELS_IMAGE that has the wheels in its folder /wheels.
ARG BASE_IMAGE=python:3.13-slim@sha256:7c61056e61ac89e852de05f3dc6fa51a6dd2181797bceed46aa725dd7cb2cd3b
ARG WHEELS_IMAGE=scratch

# checkov:skip=CKV_DOCKER_7:it does not look into arguments; the one here has a tag and a digest
FROM ${WHEELS_IMAGE} AS wheels

FROM ${BASE_IMAGE} AS build
# requirements-traces.txt has OpenTelemetry as well.
ARG REQUIREMENTS=requirements.txt
ARG PIP_NO_INDEX
WORKDIR /build
COPY requirements.txt requirements-traces.txt ./
# pip stays outside of the environment that it fills.
RUN --mount=type=secret,id=ca-bundle --mount=type=bind,from=wheels,target=/given \
    if [ -s /run/secrets/ca-bundle ]; then export PIP_CERT=/run/secrets/ca-bundle; fi \
    && if [ -d /given/wheels ]; then export PIP_FIND_LINKS=/given/wheels; fi \
    && python3 -m venv /build/pip \
    && python3 -m venv --without-pip /opt/venv \
    && /build/pip/bin/pip --python /opt/venv/bin/python install --quiet --no-cache-dir --no-compile \
        --disable-pip-version-check --no-deps --only-binary :all: --require-hashes -r "$REQUIREMENTS" \
    && find /opt/venv/lib -type d -name tests -prune -exec rm -r {} + \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib
COPY LICENSE /app/
COPY configuration /app/configuration
COPY agent /app/agent
# Compiled here, because nothing is writable where it runs, and once, because it is never changed.
# Readable for everybody, whatever the checkout is.
RUN /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /app/agent \
    && chmod -R u=rwX,go=rX /app

FROM ${BASE_IMAGE}
# For a volume that keeps the embedded store; by itself nothing is written here.
RUN install -d -m 700 -o 10001 -g 10001 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    HOST=0.0.0.0 \
    METRICS_HOST=0.0.0.0 \
    STORE_PATH=/tmp/agent.db
WORKDIR /app
USER 10001:10001
# Writable for this user with a read-only root, also where the platform makes the volume (ECS does).
VOLUME ["/tmp"]
EXPOSE 3000 9090
HEALTHCHECK --interval=15s --timeout=5s --retries=3 --start-period=20s \
    CMD ["python", "-m", "agent.cli.healthcheck"]
# Python is the first process, so the signal to stop reaches it; in its first second or two, while it
# loads, only with --init.
ENTRYPOINT ["python", "-m", "agent"]
CMD ["serve", "--seed"]
ARG SOURCE
ARG REVISION
ARG VERSION
ARG CREATED
LABEL org.opencontainers.image.title="voice-agent" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.created="${CREATED}"
