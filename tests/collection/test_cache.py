"""Finished runs on disk: put in place whole, found again, brought up to date, and not kept for ever."""

from __future__ import annotations

import copy
import json
import shutil

import pytest

from lab.collection import cache, jobs


@pytest.fixture
def stored(tiny, tmp_path):
    """A job, and its finished run in place."""
    base = tiny.collection(tmp_path, {"a/01-x": tiny.notebook("x = 1", prose="# Old\n\nprose")})
    job = jobs.prepare(base, base / "notebooks" / "a" / "01-x.ipynb", profile="standard", seed=0)
    store(job, {"status": "ok"})
    return job


def executed(job):
    ran = copy.deepcopy(dict(job.content))
    injected = {"cell_type": "code", "id": "new", "metadata": {"tags": ["injected-parameters"]}, "source": "seed = 0"}
    ran["cells"].insert(2, {**injected, "outputs": [], "execution_count": 1})
    ran["cells"][-1]["outputs"] = [{"output_type": "stream", "name": "stdout", "text": "hello"}]
    ran["metadata"]["papermill"] = {"version": "x"}
    return ran


def store(job, other):
    with cache.scratch(job.base) as scratch:
        work = scratch.work / "1"
        work.mkdir()
        (work / "executed.ipynb").write_text(json.dumps(executed(job)), encoding="utf-8")
        (work / "worker.log").write_text("noise", encoding="utf-8")
        (work / "source.ipynb").write_text("{}", encoding="utf-8")
        return cache.store(job.base, {**job.blank(), **other}, work)


def test_a_run_in_place_is_found_and_replaced(stored):
    folder = cache.runs(stored.base) / stored.key
    assert sorted(path.name for path in folder.iterdir()) == ["executed.ipynb", "result.json"]
    assert cache.lookup(stored.base, stored.key, stored.content)["title"] == "Old"
    store(stored, {"status": "failed", "error": "no"})
    assert cache.lookup(stored.base, stored.key, stored.content) is None
    assert sorted(path.name for path in folder.iterdir()) == ["executed.ipynb", "result.json", "worker.log"]
    assert [result["status"] for result in cache.results(stored.base)] == ["failed"]


def test_a_copy_of_a_notebook_is_not_answered_with_the_run_of_the_other(stored):
    path = stored.path.with_name("02-copy.ipynb")
    shutil.copy(stored.path, path)
    job = jobs.prepare(stored.base, path, profile="standard", seed=0)
    assert cache.lookup(job.base, job.key, job.content) is None
    store(job, {"status": "ok"})
    found = [cache.lookup(each.base, each.key, each.content)["notebook"] for each in (stored, job)]
    assert found == ["01-x", "02-copy"]


def test_new_prose_is_put_around_old_outputs(stored):
    path = stored.path
    content = json.loads(path.read_text(encoding="utf-8"))
    content["cells"][0]["source"] = "# New"
    content["cells"].insert(2, {"cell_type": "markdown", "id": "more", "metadata": {}, "source": "More prose."})
    content["metadata"]["lab"] = {"question": "Why?"}
    path.write_text(json.dumps(content), encoding="utf-8")
    job = stored.again()
    assert job.key == stored.key
    assert cache.lookup(job.base, job.key, job.content)["title"] == "New"
    ran = json.loads((cache.runs(job.base) / job.key / "executed.ipynb").read_text(encoding="utf-8"))
    kinds = [(cell["cell_type"], cell["id"]) for cell in ran["cells"]]
    assert kinds == [
        ("markdown", "title"), ("code", "cell-0"), ("code", "new"), ("markdown", "more"), ("code", "cell-1"),
        ("code", "cell-2"),
    ]  # fmt: skip
    assert ran["cells"][0]["source"] == "# New"
    assert ran["cells"][-1]["outputs"][0]["text"] == "hello"
    assert ran["metadata"]["lab"] == {"question": "Why?"} and ran["metadata"]["papermill"] == {"version": "x"}


def test_outputs_are_never_put_under_other_code(stored, tiny):
    assert cache.refresh(executed(stored), tiny.notebook("x = 1", "y = 2")) is None
    assert cache.refresh(executed(stored), tiny.notebook()) is None


def test_only_the_newest_results_are_kept(stored):
    for number in range(cache.KEEP + 3):
        folder = cache.runs(stored.base) / f"key{number:02}"
        folder.mkdir()
        old = {**stored.blank(), "key": folder.name, "finished": f"2000-01-01T00:00:{number:02}"}
        (folder / "result.json").write_text(json.dumps(old), encoding="utf-8")
    cache.prune(stored.base)
    kept = {path.name for path in cache.runs(stored.base).iterdir()}
    assert len(kept) == cache.KEEP and stored.key in kept
    assert not kept & {"key00", "key01", "key02", "key03"}


def test_what_a_dead_process_left_is_removed(tmp_path):
    folder = cache.runs(tmp_path)
    folder.mkdir(parents=True)
    (folder / ".lock-dead").touch()
    (folder / ".tmp-dead").mkdir()
    (folder / ".tmp-dead" / "half").touch()
    with cache.scratch(tmp_path):
        assert not (folder / ".tmp-dead").exists() and not (folder / ".lock-dead").exists()
