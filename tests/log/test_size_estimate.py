"""How much the callback says it will log for the Attention tab, beside what it logs."""

import numpy as np
import pytest
from support.small_models import small_classifier

from keras_attnviz import AttentionRolloutCallback, ProbeSet, read_log
from keras_attnviz.log.size_estimate import epoch_bytes, full_bytes
from keras_attnviz.tb_plugin import metadata
from keras_attnviz.tb_plugin.packing import unpack

pytestmark = pytest.mark.one_stack


def begun(images, folder, *, epochs=10, **options):
    """Returns a callback whose training has begun."""
    callback = AttentionRolloutCallback(ProbeSet(images), folder, **options)
    callback.set_params({"epochs": epochs, "verbose": 0})
    callback.set_model(small_classifier(layers=3))
    callback.on_train_begin()
    return callback


def array_bytes(blobs):
    """Returns the bytes of the arrays in packed records."""
    return sum(array.nbytes for blob in blobs for array in unpack(blob)[0].values())


def test_the_sizes_are_those_of_what_is_logged(faces, tmp_path, capsys):
    callback = AttentionRolloutCallback(faces[0][:3], tmp_path, full_probes=[0, -1])
    small_classifier(layers=3).fit(*faces, epochs=1, verbose=0, callbacks=[callback])
    # Of 36 patches a probe has two methods' heatmaps, 12 heads and as many maps as patches, rows of
    # bytes with a float each, and a float more for a head.
    expected = 3 * (2 * (36 + 4) + 12 * (36 + 8) + 36 * (36 + 4))
    assert epoch_bytes(callback._monitor, 3) == expected
    record = dict(read_log(tmp_path).records[-1])
    full = record.pop(metadata.FULL_TAG)
    for tag in (metadata.SETUP_TAG, metadata.EPOCH_TAG):
        record.pop(tag)
    assert array_bytes(blob for blobs in record.values() for blob in blobs) == expected
    assert full_bytes(callback._monitor, 2) == array_bytes(full) == 2 * 12 * 36 * 40
    told = capsys.readouterr().out
    assert "Whole attention of 2 probes: up to 0.0 MB, before the training" in told
    assert "Attention tab" not in told


def test_much_is_told_once_before_the_training(faces, tmp_path, capsys):
    images = np.resize(faces[0], (2600, *faces[0].shape[1:]))
    begun(images, tmp_path, every_epochs=4)
    # 2,600 probes of 2,048 bytes; the baseline and after epochs 4, 8 and 10.
    assert capsys.readouterr().out == (
        "Attention tab: up to 5.3 MB each logged epoch for 2600 probes, 21.3 MB in all. Fewer "
        "probes or a larger `every_epochs` make it less, `attention_tab=False` leaves it out.\n"
    )
    begun(images, tmp_path, epochs=None)
    assert "for 2600 probes. Fewer" in capsys.readouterr().out
    begun(images, tmp_path, attention_tab=False)
    assert capsys.readouterr().out == ""
