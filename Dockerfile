# Forge's one image: web, workers, beat and commands. `docker build -t robco-forge .`
#
# It holds no secret and runs as nobody's user: everything that differs between installations comes from the
# environment, secrets from files (NAME_FILE, docs/settings.md).
FROM python:3.11-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/forge
COPY requirements.lock /tmp/
# The lock has the tests' packages too: those that pyproject.toml names for them stay, because one lock is one truth.
RUN /opt/forge/bin/pip install --require-hashes --no-deps -r /tmp/requirements.lock
COPY . /srv/forge
WORKDIR /srv/forge
RUN rm -rf tests && \
    SECRET_KEY=only-to-collect-static-files DATABASE_URL=postgresql://nobody@127.0.0.1/none \
    /opt/forge/bin/python manage.py collectstatic --noinput -v 0 && \
    /opt/forge/bin/python -m compileall -q .

FROM python:3.11-slim-bookworm
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin forge
COPY --from=build /opt/forge /opt/forge
COPY --from=build /srv/forge /srv/forge
ENV PATH=/opt/forge/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/forge
USER 10001:10001
EXPOSE 8000
CMD ["gunicorn", "forge.wsgi", "--bind", "0.0.0.0:8000", "--workers", "4", "--threads", "4", "--preload", "--limit-request-line", "8190", "--no-control-socket", "--logger-class", "forge.weblog.Lines", "--worker-tmp-dir", "/tmp"]
