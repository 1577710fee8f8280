# The page and the command line.
#
#     docker build -t nuclei .
#     docker run --rm -p 7860:7860 nuclei
#     docker run --rm -v "$PWD:/data" nuclei segment /data/images --out /data/results
#
# For a GPU: docker build --build-arg TORCH=cu128 -t nuclei-gpu . && docker run --gpus all ..
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY nuclei_models nuclei_models
COPY nuclei_cli nuclei_cli
COPY weights weights
COPY examples examples
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
# "cpu", or a version of CUDA that download.pytorch.org/whl has, as "cu128"
ARG TORCH=cpu
COPY requirements.txt /tmp/requirements.txt
COPY --from=build /wheels /tmp/wheels
# the versions in requirements.txt; torch from PyTorch's own index, for PyPI has the one for CUDA alone
RUN grep '^torch==' /tmp/requirements.txt > /tmp/torch.txt \
    && pip install --no-cache-dir --requirement /tmp/torch.txt --index-url "https://download.pytorch.org/whl/${TORCH}" \
    && pip install --no-cache-dir --constraint /tmp/requirements.txt --find-links /tmp/wheels "nuclei-models[app,large]" \
    && rm -r /tmp/requirements.txt /tmp/torch.txt /tmp/wheels \
    && useradd --create-home --uid 1000 nuclei
USER 1000
WORKDIR /data
EXPOSE 7860
ENTRYPOINT ["nuclei"]
CMD ["page", "--host", "0.0.0.0", "--port", "7860"]
