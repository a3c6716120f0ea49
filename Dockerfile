# Two images from one file:
#   operator   the operator and its reporter sidecar: small
#   evaluator  the engines mlflow and lm-eval; with full MLflow and scikit-learn also the demo's MLflow server, trainer and model server
# Both run as any user, on a read-only root; /tmp must be writable for the evaluator. docs/images.md tells more.
# A release names the base by its digest: --build-arg BASE_IMAGE=python:3.13-slim@sha256:…
ARG BASE_IMAGE=python:3.13-slim

FROM $BASE_IMAGE AS base
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1

# pip lives beside the environment it fills, so that it is not in the images.
FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python3 -m venv /build && python3 -m venv --without-pip /opt/venv
WORKDIR /src
COPY requirements/build.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip /build/bin/pip install --require-hashes --no-deps -qr requirements/build.txt

FROM build AS package
COPY pyproject.toml README.md LICENSE ./
COPY operator operator
RUN /build/bin/pip wheel --no-deps --no-build-isolation -qw /wheel .

FROM build AS operator-build
COPY requirements/operator.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    /build/bin/pip --python /opt/venv/bin/python3 install --require-hashes --no-deps -qr requirements/operator.txt
COPY --from=package /wheel /wheel
RUN /build/bin/pip --python /opt/venv/bin/python3 install --no-deps -q /wheel/*.whl
RUN mkdir /sbom && /build/bin/cyclonedx-py environment --no-validate --output-reproducible -o /sbom/weighbridge.cdx.json /opt/venv/bin/python3

FROM build AS evaluator-build
COPY requirements/evaluator.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    /build/bin/pip --python /opt/venv/bin/python3 install --require-hashes --no-deps -qr requirements/evaluator.txt
COPY --from=package /wheel /wheel
RUN /build/bin/pip --python /opt/venv/bin/python3 install --no-deps -q /wheel/*.whl
RUN mkdir /sbom && /build/bin/cyclonedx-py environment --no-validate --output-reproducible -o /sbom/weighbridge.cdx.json /opt/venv/bin/python3
COPY e2e/demo/training /opt/demo

# What every final image says of itself.
FROM base AS labelled
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="Weighbridge" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
USER 65532:65532

FROM labelled AS evaluator
LABEL org.opencontainers.image.title="weighbridge-evaluator" \
      org.opencontainers.image.description="The engines mlflow and lm-eval of Weighbridge"
ENV GIT_PYTHON_REFRESH=quiet
COPY --from=evaluator-build /opt /opt
COPY --from=evaluator-build /sbom /usr/share/sbom
WORKDIR /tmp

FROM labelled AS operator
LABEL org.opencontainers.image.title="weighbridge-operator" \
      org.opencontainers.image.description="Weighs model versions before they may serve"
COPY --from=operator-build /opt/venv /opt/venv
COPY --from=operator-build /sbom /usr/share/sbom
ENTRYPOINT ["weighbridge"]
CMD ["run"]
