# vidrobust in a container, from its wheel.
#   CPU:   docker build -t vidrobust .
#   CUDA:  docker build -t vidrobust:cuda --build-arg DEVICE=cuda .   (run with --gpus all)
# docs/install.md has how to run it.
ARG PYTHON=3.12

FROM python:${PYTHON}-slim AS wheel
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:${PYTHON}-slim
ARG DEVICE=cpu
COPY constraints.txt /constraints.txt
# PyTorch first, in the version that the checks ran with: its layer stays while vidrobust changes. The build of PyPI has
# CUDA's libraries with it; the driver is the host's. One stage for both: not every builder follows a stage named by DEVICE.
RUN case "${DEVICE}" in \
        cpu) index=https://download.pytorch.org/whl/cpu ;; \
        cuda) index=https://pypi.org/simple ;; \
        *) echo "DEVICE is cpu or cuda, not ${DEVICE}." >&2; exit 1 ;; \
    esac \
    && pip install --no-cache-dir --index-url "$index" "$(grep ^torch== /constraints.txt)"
COPY --from=wheel /wheels /wheels
RUN pip install --no-cache-dir -c /constraints.txt "$(echo /wheels/*.whl)[deck,hub,paper,parquet]" \
    && useradd --create-home --uid 1000 vidrobust \
    && install -d -o vidrobust /work
USER 1000
WORKDIR /work
# Of whoever it is run as, files that are kept for the next time have a place.
ENV HOME=/tmp
ENTRYPOINT ["vidrobust"]
CMD ["--help"]
