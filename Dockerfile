FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/tidings
COPY requirements.lock ./
RUN /opt/tidings/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock
# The build tool is pinned by the development lock like everything else.
COPY requirements-dev.lock pyproject.toml README.md ./
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --require-hashes --requirement requirements-dev.lock
COPY channels channels
COPY dispatcher dispatcher
COPY segments segments
COPY templates templates
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/tidings/bin/pip install --no-cache-dir --no-deps /wheels/*.whl

FROM python:3.11-slim
RUN useradd --system --user-group --no-create-home --home-dir /nonexistent tidings
COPY --from=build /opt/tidings /opt/tidings
ENV PATH=/opt/tidings/bin:$PATH PYTHONUNBUFFERED=1
USER tidings
EXPOSE 8080
ENTRYPOINT ["tidings"]
CMD ["serve"]
