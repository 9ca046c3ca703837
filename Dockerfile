# prvr as a service, on the processor: the page over /videos, on port 8765.
#
#   docker build -t prvr --build-arg PIP_EXTRA_INDEX_URL=<PyTorch's CPU index> .
#   docker run -d --name prvr -p 127.0.0.1:8765:8765 -v ~/Videos:/videos:ro -v prvr:/data prvr
#   docker exec prvr prvr serve --link
#
# Without the CPU index it builds too, several gigabytes larger. docs/how-to/watch.md has the rest.
FROM python:3.12-slim AS build
ARG PIP_EXTRA_INDEX_URL=
WORKDIR /src
COPY pyproject.toml hatch_build.py constraints.txt README.md LICENSE ./
COPY src src
RUN python -m venv /opt/prvr \
    && /opt/prvr/bin/pip install --no-cache-dir -c constraints.txt '.[things,ann,otio]'

FROM python:3.12-slim
COPY --from=build /opt/prvr /opt/prvr
RUN useradd --create-home --uid 1000 prvr \
    && install -d -o prvr -g prvr -m 700 /data \
    && install -d -m 755 /videos
USER 1000
ENV PATH=/opt/prvr/bin:$PATH PRVR_DATA=/data PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8765
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8765/healthz', timeout=4)"]
CMD ["prvr", "serve", "--host", "0.0.0.0", "--no-open", "--watch", "/videos"]
