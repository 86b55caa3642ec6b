"""Packaging of keras_attnviz; the version number stands in `keras_attnviz/_version.py`."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version():
    namespace = {}
    exec((HERE / "keras_attnviz" / "_version.py").read_text(encoding="utf-8"), namespace)
    return namespace["__version__"]


VIT = ["vit-keras>=0.2.0,<0.3", "opencv-python-headless"]
DEMO = [*VIT, "elpv-dataset>=1.0.0.post1", "onnx>=1.16"]
LINT = ["ruff>=0.9"]
DOCS = ["furo", "myst-parser", "sphinx>=8"]
BENCH = [*VIT, "scikit-image>=0.24"]
TEST = [*DEMO, *LINT, "build", "jax", "onnxruntime", "pytest>=8", "scikit-image>=0.24"]

setup(
    name="keras-attnviz",
    version=version(),
    description="Watch where a Keras Vision Transformer looks, epoch by epoch, in TensorBoard",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The keras_attnviz developers",
    license="Apache-2.0",
    packages=find_packages(include=["keras_attnviz", "keras_attnviz.*"]),
    python_requires=">=3.10",
    install_requires=[
        "keras>=3.3",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "pillow>=10.1",
        "tensorboard>=2.16",
        "tensorflow>=2.16",
    ],
    extras_require={
        "vit": VIT,
        "demo": DEMO,
        "docs": DOCS,
        "bench": BENCH,
        "lint": LINT,
        "test": TEST,
    },
    entry_points={"console_scripts": ["keras-attnviz = keras_attnviz.cli:main"]},
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Visualization",
    ],
)
