# Two images from one file:
#   operator   the operator and its reporter sidecar: small
#   evaluator  the engines mlflow and lm-eval; with full MLflow and scikit-learn also the demo's MLflow server, trainer and model server
# Both run as any user, on a read-only root; /tmp must be writable for the evaluator.
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

FROM build AS evaluator-build
COPY requirements/evaluator.txt requirements/
RUN --mount=type=cache,target=/root/.cache/pip \
    /build/bin/pip --python /opt/venv/bin/python3 install --require-hashes --no-deps -qr requirements/evaluator.txt
COPY --from=package /wheel /wheel
RUN /build/bin/pip --python /opt/venv/bin/python3 install --no-deps -q /wheel/*.whl
COPY e2e/demo/training /opt/demo

FROM base AS evaluator
ENV GIT_PYTHON_REFRESH=quiet
COPY --from=evaluator-build /opt /opt
USER 65532:65532
WORKDIR /tmp

FROM base AS operator
COPY --from=operator-build /opt/venv /opt/venv
USER 65532:65532
ENTRYPOINT ["weighbridge"]
CMD ["run"]
