"""A folder appears only when it is complete."""

import os
import signal
import subprocess
import sys
import time

import pytest

from chorus_jax.checkpoints import aside, check_space
from chorus_jax.checkpoints.folder import partial_folder, remove_partial


def test_appears_at_the_end(tmp_path):
    with aside(tmp_path / "deep" / "x") as partial:
        (partial / "a").write_text("1")
        assert not (tmp_path / "deep" / "x").exists()
    assert (tmp_path / "deep" / "x" / "a").read_text() == "1"
    assert os.listdir(tmp_path / "deep") == ["x"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_nothing_is_left_after_an_error(tmp_path, error):
    with pytest.raises(error), aside(tmp_path / "x") as partial:
        (partial / "a").write_text("1")
        raise error
    assert os.listdir(tmp_path) == []


def test_existing_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="exists: remove it"), aside(tmp_path):
        pass


def test_link_that_leads_nowhere_is_refused(tmp_path):
    (tmp_path / "x").symlink_to(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="exists: remove it"), aside(tmp_path / "x"):
        pass


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        ValueError, match="cannot write beside .*file/x: .*; choose a folder"
    ):
        with aside(tmp_path / "file" / "x"):
            pass


def test_read_only_parent(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Read-only file system")

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(ValueError, match="Read-only file system; choose a folder"):
        with aside(tmp_path / "x"):
            pass


def test_disk_without_room(tmp_path):
    with pytest.raises(ValueError, match=r"needs 1000000\.0 GB, but .* GB free: make"):
        check_space(tmp_path / "deep" / "x", 10**15)


KILLED = """
import sys, time
from pathlib import Path
from chorus_jax.checkpoints.folder import aside
with aside(Path(sys.argv[1])) as partial:
    (partial / "a").write_text("1")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_killed_and_concurrent_writers(tmp_path):
    command = [sys.executable, "-c", KILLED, str(tmp_path / "x")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "writing\n"
        with pytest.raises(ValueError, match="another process is writing"):
            with aside(tmp_path / "x"):
                pass
        writer.send_signal(signal.SIGKILL)
    time.sleep(0.01)
    assert os.listdir(tmp_path) == [".x.partial"]
    with aside(tmp_path / "x") as partial:
        assert os.listdir(partial) == []
    assert os.listdir(tmp_path) == ["x"]


def test_what_a_killed_writer_left_is_removed_but_nothing_in_use(tmp_path):
    remove_partial(tmp_path / "x")  # there is nothing
    left = partial_folder(tmp_path / "x")
    left.mkdir()
    (left / "a").write_text("1")
    remove_partial(tmp_path / "x")
    assert os.listdir(tmp_path) == []
    with aside(tmp_path / "x") as partial:
        (partial / "a").write_text("1")
        remove_partial(tmp_path / "x")
    assert (tmp_path / "x" / "a").read_text() == "1"
