"""Finds what in a `.keras` file would run code, or reach beyond the file, when Keras loads it.

Keras refuses some of this itself, depending on its version. Older versions import any module that a
file names, or unpickle weights.
"""

import json
import zipfile

from tensorflow import keras

_CONFIG, _PICKLED_WEIGHTS = "config.json", "model.weights.npz"
_MOST_CONFIG_BYTES = 2**26
# Packages whose classes a file may name: they come from the makers of Keras.
_PACKAGES = ("keras", "tf_keras", "keras_hub", "keras_nlp", "keras_cv")
# The modules of the functions that a file may name, such as "gelu".
_FUNCTION_MODULES = (
    "activations",
    "constraints",
    "initializers",
    "losses",
    "metrics",
    "optimizers",
    "regularizers",
)
_NO_FUNCTIONS = ("deserialize", "get", "serialize")
# Values that Keras writes as objects.
_VALUES = (
    "__bytes__",
    "__ellipsis__",
    "__keras_tensor__",
    "__numpy__",
    "__slice__",
    "__tensor__",
)
# Layers that hold code, load it from elsewhere, or call what their config names.
_CODE_LAYERS = (
    "ClassMethod",
    "FlaxLayer",
    "InstanceMethod",
    "JaxLayer",
    "Lambda",
    "TFSMLayer",
    "TorchModuleWrapper",
)
# Keras 2 layers for TensorFlow functions, and the parts of TensorFlow that only compute.
_TENSORFLOW_LAYERS = ("SlicingOpLambda", "TFOpLambda")
_COMPUTING = ("__operators__", "image", "linalg", "math", "nn", "signal", "strings")
_COMPUTING_FUNCTIONS = (
    "broadcast_to",
    "cast",
    "clip_by_value",
    "concat",
    "convert_to_tensor",
    "einsum",
    "expand_dims",
    "eye",
    "fill",
    "gather",
    "identity",
    "ones",
    "ones_like",
    "one_hot",
    "pad",
    "range",
    "repeat",
    "reshape",
    "roll",
    "shape",
    "slice",
    "split",
    "squeeze",
    "stack",
    "strided_slice",
    "tile",
    "transpose",
    "unstack",
    "where",
    "zeros",
    "zeros_like",
)


def code_in(path):
    """Returns a description of what in a `.keras` file is code or reaches beyond it, or None.

    Args:
        path: path of the file, a zip archive.

    Raises:
        ValueError: the file's config can't be read.
        KeyError: the file has no config.
        zipfile.BadZipFile: the archive is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        if _PICKLED_WEIGHTS in archive.namelist():
            return f"weights as {_PICKLED_WEIGHTS}, which some versions of Keras unpickle"
        size = archive.getinfo(_CONFIG).file_size
        if size > _MOST_CONFIG_BYTES:
            raise ValueError(f"{_CONFIG} has {size} bytes, where {_MOST_CONFIG_BYTES} are enough")
        data = archive.read(_CONFIG)
    try:
        config = json.loads(data)
    except RecursionError as error:
        raise ValueError(f"{_CONFIG} is nested too deeply") from error
    found = (_code_of(entry) for entry in _dicts(config) if "class_name" in entry)
    return next(filter(None, found), None)


def _dicts(value):
    """Yields all dicts in a JSON value, including the value itself."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _code_of(entry):
    """Returns a description of the code in an object's config entry, or None."""
    name, config = entry["class_name"], entry.get("config")
    if not isinstance(name, str):
        return f"an object of the class {name!r}"
    if name in _VALUES:
        return None
    if name == "__lambda__":
        return "a lambda function"
    if name in _CODE_LAYERS:
        return f"a {name} layer"
    if name in _TENSORFLOW_LAYERS:
        return _code_of_tensorflow(config)
    if isinstance(config, dict) and isinstance(config.get("vocabulary"), str):
        return f"a {name} layer that reads the file {config['vocabulary']!r}"
    if _is_registered(entry):
        return None
    module = entry.get("module")
    if name == "function":
        return None if _is_known(config, module) else f"the function {module}.{config}"
    if module is None:  # Keras then finds only its own classes.
        return None
    is_class = name.isidentifier() and name[0].isupper() and _is_of_keras(module)
    return None if is_class else f"the class {module}.{name}, which isn't part of Keras"


def _is_registered(entry):
    """Returns whether this process has registered the class or function that an entry names."""
    key = "config" if entry["class_name"] == "function" else "registered_name"
    name = entry.get(key)
    return isinstance(name, str) and keras.utils.get_registered_object(name) is not None


def _is_known(function, module):
    is_builtin = module in (None, "builtins") or _is_of_keras(module)
    modules = (getattr(keras, name) for name in _FUNCTION_MODULES)
    return (
        isinstance(function, str)
        and is_builtin
        and function not in _NO_FUNCTIONS
        and any(callable(getattr(each, function, None)) for each in modules)
    )


def _is_of_keras(module):
    return isinstance(module, str) and module.split(".")[0] in _PACKAGES


def _code_of_tensorflow(config):
    function = config.get("function") if isinstance(config, dict) else None
    if isinstance(function, str):
        plain = function.removeprefix("compat.v1.")
        if plain.startswith(tuple(f"{part}." for part in _COMPUTING)):
            return None
        if plain in _COMPUTING_FUNCTIONS:
            return None
    return f"a call of the TensorFlow function {function}"
