import shutil

import numpy as np
import pytest
import skimage.data
from support.event_files import events_of, images_of, scalars_of, starts_of

from keras_attnviz.drawing import render
from keras_attnviz.log.event_writer import AttentionWriter, has_log, tag_names

CAT = skimage.data.chelsea()[:60, :80]


def test_what_is_written_is_read_back(tmp_path):
    writer = AttentionWriter(str(tmp_path), first_step=-1)
    writer.scalars(-1, {"attention/entropy": 0.25, "attention/drift": np.float32(0.5)})
    png = render.png_bytes(CAT)
    writer.image(3, "attention/cat", png, size=(60, 80), description="a cat")
    writer.close()
    run = tmp_path / "attention"
    assert scalars_of(run) == {"attention/entropy": {-1: 0.25}, "attention/drift": {-1: 0.5}}
    picture, description = images_of(run)["attention/cat"][3]
    np.testing.assert_array_equal(picture, CAT)
    assert description == "a cat"
    assert starts_of(run) == [-1]


def test_flushed_entries_are_there_before_close(tmp_path):
    writer = AttentionWriter(str(tmp_path), first_step=0)
    writer.scalars(0, {"attention/entropy": 0.5})
    writer.flush()
    assert scalars_of(tmp_path / "attention") == {"attention/entropy": {0: 0.5}}
    writer.close()


def test_unwritable_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"`log_dir` must be a directory that can be .*/file'"):
        AttentionWriter(str(tmp_path / "file"), first_step=-1)


def test_every_event_has_a_time(tmp_path):
    AttentionWriter(str(tmp_path), first_step=-1).close()
    assert all(event.wall_time > 1.7e9 for event in events_of(tmp_path / "attention"))


def test_tag_names_are_safe_and_unique():
    names = ['a "b" c', "a_b_c", "a_b_c_1", "käse", "k se", "猫", "犬 ", "x-1.png"]
    tags = ["a_b_c", "a_b_c_1", "a_b_c_1_1", "k_se", "k_se_1", "probe_5", "probe_6", "x-1.png"]
    assert tag_names(names) == tags


def test_a_removed_file_is_an_error(tmp_path):
    writer = AttentionWriter(str(tmp_path), first_step=-1)
    shutil.rmtree(tmp_path / "attention")
    writer.scalars(0, {"attention/entropy": 0.5})
    with pytest.raises(OSError, match="was removed"):
        writer.flush()


def test_has_log(tmp_path):
    assert not has_log(str(tmp_path))
    AttentionWriter(str(tmp_path), first_step=-1).close()
    assert has_log(str(tmp_path))
