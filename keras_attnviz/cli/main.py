"""The command `keras-attnviz`: its subcommands and exit codes.

Only the subcommands import TensorFlow, so `--help` answers at once.
"""

import os
import sys
import time
import traceback
from pathlib import Path

from keras_attnviz.cli.arguments import parse
from keras_attnviz.cli.board import free_port, serve

_VIT_EXTRA = ("vit_keras", "cv2")  # modules that the extra `vit` installs
USER_ERROR = 2
INTERRUPTED = 130


def main(argv=None):
    """Runs the command line; returns the exit code.

    An error that this package raises about an argument or a file becomes one line on stderr and the
    exit code 2. Any other error keeps its traceback.
    """
    # Show only errors among TensorFlow's messages, unless the user set another level.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    arguments = parse(argv)
    try:
        _COMMANDS[arguments.command](arguments)
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return INTERRUPTED
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in _VIT_EXTRA:
            raise
        return _user_error(f"{error}. Install it with: pip install 'keras-attnviz[vit]'")
    except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
        if not _is_ours(error):
            raise
        return _user_error(str(error))
    return 0


def _demo(arguments):
    from keras_attnviz.cli.demo import run_demo

    log_dir = arguments.log_dir or str(Path("logs") / time.strftime("demo-%Y%m%d-%H%M%S"))
    # Before training, so that a taken port ends the command at once or is replaced.
    port = None if arguments.no_serve else free_port(arguments.port)
    run_demo(log_dir=log_dir)
    if port is not None:
        # Again, because minutes of training must not end in an error about the port.
        serve(log_dir, port=free_port(default=port))


def _fit(arguments):
    from keras_attnviz.finetune import fine_tune

    fine_tune(
        arguments.data,
        architecture=arguments.model,
        image_size=arguments.image_size,
        epochs=arguments.epochs,
        trainable_blocks=arguments.trainable_blocks,
        weights=arguments.weights,
        log_dir=arguments.log_dir,
        probes_per_class=arguments.probes_per_class,
        batch_size=arguments.batch_size,
        learning_rate=arguments.learning_rate,
        validation_share=arguments.validation_share,
        skip_corrupt=arguments.skip_corrupt,
        seed=arguments.seed,
        attention_options=_rollout_options(arguments),
    )


def _explain(arguments):
    if arguments.data is not None:
        _explain_folder(arguments)
        return
    from keras_attnviz.drawing.figure import check_drawing, draw
    from keras_attnviz.explain.explain_pictures import explain, open_model

    check_drawing(arguments.out, arguments.images)
    picture_model = open_model(arguments.model, **_model_options(arguments))
    method, options = arguments.method or "rollout", _given_rollout_options(arguments)
    explanations = explain(picture_model, arguments.images, method, **options)
    for explanation in explanations:
        answer = f"{explanation.class_name} ({explanation.confidence:.1%})"
        print(_printable(f"{explanation.source}: {answer}"))
    draw(explanations).savefig(arguments.out, dpi=150)
    print(f"Drawn: {arguments.out}")


def _explain_folder(arguments):
    from keras_attnviz.explain.explain_folder import explain_folder
    from keras_attnviz.explain.explain_pictures import open_model

    picture_model = open_model(arguments.model, **_model_options(arguments))
    given = {name: getattr(arguments, name) for name in ("method", *_STREAM_OPTIONS)}
    given = {name: value for name, value in given.items() if value is not None}
    written = explain_folder(
        picture_model,
        arguments.data,
        arguments.out,
        print_fn=print,
        **given,
        **_given_rollout_options(arguments),
    )
    print(f"Explained: {written.images} pictures, skipped: {written.skipped}")
    print(f"Files: {written.paths[0]}{' ...' if len(written.paths) > 1 else ''}")


def _board(arguments):
    serve(arguments.log_dir, port=arguments.port, host=arguments.host)


def _model_options(arguments):
    names = ("weights", "image_size", "activation", "input_range", "trust")
    return {name: getattr(arguments, name) for name in names}


def _rollout_options(arguments):
    names = ("head_fusion", "discard_ratio", "start_layer")
    return {name: getattr(arguments, name) for name in names}


def _given_rollout_options(arguments):
    """Returns the options that differ from rollout's defaults; other methods lack some of them."""
    own = {"head_fusion": "mean", "discard_ratio": 0.0, "start_layer": 0}
    options = _rollout_options(arguments)
    return {name: value for name, value in options.items() if value != own[name]}


_STREAM_OPTIONS = ("format", "batch_size", "shard_size")
_COMMANDS = {"demo": _demo, "fit": _fit, "explain": _explain, "board": _board}


def _user_error(text):
    print(_printable(f"keras-attnviz: {' '.join(text.split())}"), file=sys.stderr)
    return USER_ERROR


def _printable(text):
    """Returns a text without control characters, which file and class names may hold."""
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def _is_ours(error):
    """Returns whether this package raised the error, rather than a library that it uses."""
    innermost = traceback.extract_tb(error.__traceback__)[-1].filename
    return Path(__file__).parents[1] in Path(innermost).parents
