# In place of Grafana for tests where no registry is reachable, with the user and port of the public image.
# tests/image.sh builds it.
ARG BASE_IMAGE=python:3.13-slim
FROM ${BASE_IMAGE}
COPY stand_in_grafana.py /
USER 472:0
EXPOSE 3000
ENTRYPOINT ["python3", "/stand_in_grafana.py"]
