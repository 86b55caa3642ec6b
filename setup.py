"""Packaging of keras_attnviz; the version number is in `keras_attnviz/_version.py`."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def version():
    namespace = {}
    exec((HERE / "keras_attnviz" / "_version.py").read_text(encoding="utf-8"), namespace)
    return namespace["__version__"]


VIT = ["vit-keras>=0.2.0,<0.3", "opencv-python-headless"]
# The stack of most vit-keras notebooks. tensorflow-addons needs TensorFlow 2.15 or older, and
# NumPy 1 needs OpenCV 4.10 or older. vit-keras 0.1 and TensorBoard 2.15 import `pkg_resources`,
# which setuptools has without a warning only before version 81.
LEGACY = [
    "numpy<2",
    "opencv-python-headless<4.11",
    "setuptools<81",
    "tensorflow>=2.15,<2.16",
    "tensorflow-addons>=0.23,<0.24",
    "vit-keras>=0.1.2,<0.2",
]
# The oldest supported Keras 3, on the oldest TensorFlow that works with Keras 3. Up to Keras 3.4,
# a Sequential model that starts with another model has no inputs before it is trained.
OLDEST = ["keras>=3.5,<3.6", "setuptools<81", "tensorflow>=2.16,<2.17"]
TF_KERAS = ["tensorflow>=2.21,<2.22", "tf_keras>=2.21,<2.22"]
DEMO = [*VIT, "elpv-dataset>=1.0.0.post1", "onnx>=1.16"]
LINT = ["ruff>=0.9"]
DOCS = ["furo", "myst-parser", "sphinx>=8"]
FLOW = ["scipy>=1.11"]
# NumPy 1 needs pyarrow 25 or older. Newer versions don't tell pip so, and can't be imported.
PARQUET = ["pyarrow>=14"]
NUMPY_1 = ["pyarrow<26"]
# For examples/beam_explain.py. With the newest TensorFlow, it brings protobuf 6 instead of 7.
BEAM = ["apache-beam>=2.77,<3", "pyarrow>=14"]
BENCH = [*DEMO, "playwright>=1.49", "scikit-image>=0.24", "scikit-learn>=1.4"]
# For benchmarks/speed/peers.py, which measures PyTorch and imports nothing from this package.
# transformers 5.24 needs PyTorch 2.6 or newer.
BENCH_PEERS = ["numpy>=1.26", "pillow>=10.1", "scikit-image>=0.24", "torch>=2.6", "transformers>=5"]
TEST_EVERYWHERE = [
    *PARQUET,
    "hypothesis>=6.100",
    "playwright>=1.49",
    "pytest>=8",
    "pytest-xdist>=3.6",
    "scikit-image>=0.24",
]
# Packages whose models are tested.
ZOO = ["keras-hub>=0.32,<0.33; python_version >= '3.11'", "kimm>=0.2.5,<0.3"]
TEST = [*DEMO, *ZOO, *LINT, *BEAM, *TEST_EVERYWHERE, "build", "jax", "onnxruntime"]
SOAK = [*TEST, "atheris>=3; platform_system == 'Linux'"]

setup(
    name="keras-attnviz",
    version=version(),
    description="Watch where a Keras Vision Transformer looks, epoch by epoch, in TensorBoard",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author="The keras_attnviz developers",
    license="Apache-2.0",
    packages=find_packages(include=["keras_attnviz", "keras_attnviz.*"]),
    package_data={"keras_attnviz.tb_plugin": ["*.md", "static/**/*"]},
    python_requires=">=3.10",
    install_requires=[
        # Keras 2 with TensorFlow 2.15, or Keras 3.5 and newer.
        "keras>=2.15,!=3.0.*,!=3.1.*,!=3.2.*,!=3.3.*,!=3.4.*",
        "matplotlib>=3.8",
        "numpy>=1.26",
        "pillow>=10.1",
        "tensorboard>=2.15",
        "tensorflow>=2.15",
    ],
    extras_require={
        "vit": VIT,
        "legacy": LEGACY,
        "demo": DEMO,
        "flow": FLOW,
        "parquet": PARQUET,
        "beam": BEAM,
        "docs": DOCS,
        "bench": BENCH,
        "bench-peers": BENCH_PEERS,
        "lint": LINT,
        "test": TEST,
        "soak": SOAK,
        "test-legacy": [*LEGACY, *NUMPY_1, *TEST_EVERYWHERE],
        "test-tf-keras": [*TF_KERAS, *VIT, *TEST_EVERYWHERE],
        "test-oldest": [*OLDEST, *NUMPY_1, *VIT, *TEST_EVERYWHERE],
    },
    entry_points={
        "console_scripts": ["keras-attnviz = keras_attnviz.cli.main:main"],
        "tensorboard_plugins": ["attention = keras_attnviz.tb_plugin.loader:AttentionLoader"],
    },
    classifiers=[
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Visualization",
    ],
)
