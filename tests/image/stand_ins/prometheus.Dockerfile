# Prometheus for tests where no registry is reachable: Debian's program under the command line, user and
# folder of the public image. tests/image.sh builds it and puts the program beside this file.
ARG BASE_IMAGE=python:3.13-slim
FROM ${BASE_IMAGE}
COPY prometheus /bin/prometheus
RUN mkdir /prometheus && chown 65534:65534 /prometheus
USER 65534:65534
WORKDIR /prometheus
EXPOSE 9090
ENTRYPOINT ["/bin/prometheus"]
