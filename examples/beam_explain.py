"""Shows where a model looks in any number of pictures, with an exported model on Apache Beam.

    python examples/beam_explain.py --model exported --input 'pictures/**' --output out/heatmaps

`keras_attnviz.RolloutModel(model).export("exported")` writes the directory `exported`. This script
writes Parquet files with a row for each picture. Without further options it runs on this machine.
With the pipeline options of a runner, it is meant to run on a cluster: --runner=DataflowRunner
--project=... --region=... --temp_location=gs://..., --runner=FlinkRunner --flink_master=..., or
--runner=SparkRunner. Every worker must then be able to read the paths, and needs what the extra
`beam` of this package installs, but not the package itself.
"""

import argparse
import io

import apache_beam as beam
import numpy as np
import pyarrow
import tensorflow as tf
from apache_beam.io import fileio
from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image, ImageOps

SUFFIXES = (".jpg", ".jpeg", ".png")
SCHEMA = pyarrow.schema(
    [
        ("name", pyarrow.string()),
        ("predictions", pyarrow.list_(pyarrow.float32())),
        ("grid_height", pyarrow.int64()),
        ("grid_width", pyarrow.int64()),
        ("heatmap", pyarrow.list_(pyarrow.float32())),
        ("error", pyarrow.string()),
    ]
)


class ExportedModel(ModelHandler):
    """Runs a model exported by `RolloutModel.export`.

    Beam's own `TFModelHandlerNumpy` reads SavedModels with Keras, which Keras 3 refuses.
    """

    def __init__(self, path, input_range, **options):
        super().__init__(**options)
        self._path, self._input_range = path, input_range

    def load_model(self):
        """Returns the model; called once per process of a worker."""
        return tf.saved_model.load(self._path)

    def run_inference(self, batch, model, inference_args=None):
        """Yields `(predictions, heatmap)` for each picture of a batch."""
        low, high = self._input_range
        images = np.stack(batch).astype("float32") / 255 * (high - low) + low
        outputs = model.signatures["serving_default"](images=tf.constant(images))
        predictions = outputs.pop("predictions").numpy()
        (heatmaps,) = outputs.values()
        yield from zip(predictions, heatmaps.numpy(), strict=True)


class Decoded(beam.DoFn):
    """Turns a file into its name and pixels, or into a row that says why it can't be read."""

    def __init__(self, size):
        self._height, self._width = size

    def process(self, file):
        """Yields `(name, pixels)`, or a row tagged "skipped"."""
        name = file.metadata.path
        try:
            with Image.open(io.BytesIO(file.read())) as image:
                image = ImageOps.exif_transpose(image).convert("RGB")
                image = image.resize((self._width, self._height), Image.Resampling.BILINEAR)
            yield name, np.asarray(image)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            yield beam.pvalue.TaggedOutput("skipped", row(name, error=str(error)))


def row(name, predictions=None, heatmap=None, error=None):
    known = heatmap is not None
    return {
        "name": name,
        "predictions": predictions.ravel().tolist() if known else None,
        "grid_height": heatmap.shape[0] if known else None,
        "grid_width": heatmap.shape[1] if known else None,
        "heatmap": heatmap.ravel().tolist() if known else None,
        "error": error,
    }


def image_size(path):
    signature = tf.saved_model.load(path).signatures["serving_default"]
    return tuple(signature.structured_input_signature[1]["images"].shape[1:3])


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--model", required=True, metavar="DIR", help="what RolloutModel.export has written")
    add("--input", required=True, metavar="PATTERN", help="of picture files: 'pictures/**'")
    add("--output", required=True, metavar="PREFIX", help="of the names of the Parquet files")
    add(
        "--input-range",
        nargs=2,
        type=float,
        default=(0.0, 255.0),
        metavar=("LOW", "HIGH"),
        help="what the model takes for black and white (default: 0 255)",
    )
    add("--batch-size", type=int, default=32, metavar="N", help="most pictures run at once")
    arguments, pipeline_options = parser.parse_known_args(argv)
    handler = ExportedModel(
        arguments.model, arguments.input_range, max_batch_size=arguments.batch_size
    )
    with beam.Pipeline(options=PipelineOptions(pipeline_options)) as pipeline:
        decoded = (
            pipeline
            | fileio.MatchFiles(arguments.input)
            | beam.Filter(lambda match: match.path.lower().endswith(SUFFIXES))
            | beam.Reshuffle()
            | fileio.ReadMatches()
            | beam.ParDo(Decoded(image_size(arguments.model))).with_outputs("skipped", main="main")
        )
        explained = (
            decoded.main
            | RunInference(KeyedModelHandler(handler))
            | beam.MapTuple(lambda name, results: row(name, *results))
        )
        _ = (
            (explained, decoded.skipped)
            | beam.Flatten()
            | beam.io.WriteToParquet(arguments.output, SCHEMA, file_name_suffix=".parquet")
        )


if __name__ == "__main__":
    main()
