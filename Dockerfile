# Tickfan's image: the page and a virtual environment are made in stages of their own;
# the last one gets the environment alone, has no compiler, and runs as nobody in particular.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" -t tickfan:0.1.0 .
#   docker run --rm --read-only --ulimit nofile=65536 -p 8080:8080 \
#     -e TICKFAN_MARKET__ENABLED=true tickfan:0.1.0   # invented prices; -e TICKFAN_BROKER__URL=... for yours
#
# For a build that can be repeated to the byte, name the bases by their digests:
#   --build-arg PYTHON_IMAGE=python:3.13-slim-bookworm@sha256:...

ARG NODE_IMAGE=node:24-slim
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${NODE_IMAGE} AS page
WORKDIR /src/scripts/page
# By the lock's hashes; no script of a package is run.
COPY scripts/page/package.json scripts/page/package-lock.json ./
RUN npm ci --omit=dev --ignore-scripts --no-audit --no-fund
COPY scripts/page/build.js ./
COPY service/tickfan/static /src/service/tickfan/static
RUN node build.js /page

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
# What changes seldom comes first, so that its layer is kept. Every file is known by
# its hash, and only wheels are taken: nothing is compiled, no setup.py is run.
COPY requirements-build.lock requirements.lock ./
RUN python -m pip install --require-hashes --only-binary=:all: -r requirements-build.lock \
    && python -m venv --without-pip /opt/tickfan \
    && python -m pip --python /opt/tickfan/bin/python install \
        --require-hashes --only-binary=:all: -r requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY config/tickfan.toml config/
COPY clients/python clients/python
COPY service service
# The page as it was built, instead of its sources.
RUN rm -r service/tickfan/static
COPY --from=page /page service/tickfan/static
# Not in an isolated build: that would fetch a hatchling which nobody has checked.
RUN python -m pip wheel --no-deps --no-build-isolation --no-index --wheel-dir /dist \
        ./clients/python . \
    && python -m pip --python /opt/tickfan/bin/python install --no-deps --no-index /dist/*.whl \
    && /opt/tickfan/bin/tickfan check --demo >/dev/null
# What never runs: sources of compiled modules, and the rules by which code is coloured. The
# .pyc files stay: without them each start would take twice the CPU.
RUN find /opt/tickfan/lib -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.c' -o -name '*.h' \
        -o -path '*/pygments/lexers/*' ! -name '__init__.*' ! -name '_mapping.*' \) -delete

FROM ${PYTHON_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="tickfan" \
      org.opencontainers.image.description="Fans out live prices from RabbitMQ to SSE and MessagePack WebSocket subscribers" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/tickfan /opt/tickfan
COPY config/container.toml /etc/tickfan/tickfan.toml
ENV PATH=/opt/tickfan/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /
# By number, so that Kubernetes can see that it is not root.
USER 10001:10001
EXPOSE 8080 8081
# In this form the service itself is PID 1 and gets SIGTERM; it has no children to reap.
STOPSIGNAL SIGTERM
ENTRYPOINT ["tickfan"]
CMD ["serve", "--config", "/etc/tickfan/tickfan.toml"]
