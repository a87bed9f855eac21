"""A small collection on disk: two themes, four notebooks, two of them run, one failed, one never run."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image, ImageDraw

from lab.collection.claims import Claim
from lab.collection.rules import at_least

TITLE = """# Alignment & uniformity

Does $-(\\ell_{align} + \\ell_{unif})$ rank encoders by accuracy?"""
FORMULAS = """## Idea and maths

The loss is $\\mathcal{L}_i$ and

$$
\\mathcal{L}_i = -\\log \\frac{e^{s_{ii}/\\tau}}{\\sum_j e^{s_{ij}/\\tau}}
$$

| symbol | code |
|---|---|
| $\\tau$ | `temperature` |

What cannot be set: $\\nosuchcommand{x}$. See
[the next one](02-temperature.ipynb) and [one never run](03-later.ipynb)."""
SOLUTION = """<details><summary>Solution</summary>

```python
def double(x: float) -> float:
    return 2 * x
```

</details>"""
PAPERS = [
    ("paper-one", "The First <Paper> & its kin", "uniformity", "reproduce"),
    ("paper-two", "A Second Paper", "hubness", "sketch"),
    ("paper-three", "A Third Paper", "hubness", "cite"),
    ("paper-four", "A Fourth Paper", "hubness", "reproduce"),
]


def png(colour: tuple[int, int, int] = (0, 114, 178), size: tuple[int, int] = (600, 300)) -> bytes:
    """A picture of a square on white."""
    image = Image.new("RGB", size, (255, 255, 255))
    ImageDraw.Draw(image).rectangle([60, 60, 200, 200], fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def claim(slug: str, values: list[float], paper: str = "paper-one", **more: Any) -> Claim:
    """A measured claim."""
    told: dict[str, Any] = {
        "paper": paper,
        "statement": f"The statement of <{slug}> & more",
        "quantity": "Spearman correlation with kNN accuracy",
        "rule": at_least(0.4),
        "control": "labels shuffled",
        "expected": "supported",
    } | more
    return Claim(slug, **told).measure(values, control=[0.01, -0.02, 0.0, 0.02, 0.01])


def displayed(made: Claim) -> Any:
    """The output of ``display(claim)``."""
    return new_output("display_data", data=made._repr_mimebundle_())


def source(title: str, cells: list[Any], **about: Any) -> Any:
    """A notebook with the metadata of the collection."""
    lab = {"question": "Is it so?", "level": "introductory", "minutes": 30, "papers": ["paper-one"], "thumbnail": ""}
    first = [new_markdown_cell(title, id="title")]
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    return new_notebook(cells=first + cells, metadata={"lab": lab | about, "kernelspec": kernel})


def executed_cells() -> list[Any]:
    """Cells with an output of each kind."""
    picture = new_output(
        "display_data",
        data={"image/png": base64.b64encode(png()).decode(), "text/plain": "<Figure>"},
        metadata={"image/png": {"alt": 'A blue square, "left" of the middle'}},
    )
    second = new_output(
        "display_data",
        data={"image/png": base64.b64encode(png((213, 94, 0))).decode()},
        metadata={"image/png": {"alt": "An orange square"}},
    )
    frame = "<div>\n<style scoped>\n.dataframe th { color: red }\n</style>\n"
    frame += '<table border="1" class="dataframe"><tr><td>7</td></tr></table></div>'
    knob = 'profile: str = "standard"  # smoke, standard or large\nseed: int = 0  # base seed'
    given = "# Parameters\nprofile = 'standard'\nseed = 7\n"
    return [
        new_code_cell(knob, metadata={"tags": ["parameters"]}, id="pa"),
        new_code_cell(given, metadata={"tags": ["injected-parameters"]}, id="given"),
        new_markdown_cell(FORMULAS, id="maths"),
        new_code_cell(
            "for i in range(2):\n    print(i)",
            id="loop",
            outputs=[
                new_output("stream", name="stdout", text="10 %\r100 %\n"),
                new_output("stream", name="stderr", text="a warning nobody needs\n"),
            ],
        ),
        new_markdown_cell("Some words.\n\n**Predict.** What happens?", id="predict"),
        new_code_cell("show(fig)", id="figure-one", outputs=[picture]),
        new_markdown_cell("**Reading the figure.** It is blue.", id="reading"),
        new_code_cell("show(fig)", id="figure-two", outputs=[second]),
        new_code_cell("frame", id="frame", outputs=[new_output("execute_result", data={"text/html": frame})]),
        new_code_cell("claim", id="claim", outputs=[displayed(claim("ranks", [0.6, 0.7, 0.65, 0.62, 0.68]))]),
        new_code_cell(
            "other",
            id="other",
            outputs=[displayed(claim("fails", [0.1, 0.2, 0.15, 0.12, 0.18], expected="refuted", paper="paper-two"))],
        ),
        new_markdown_cell("## Exercises\n\n### Exercise 1 · ★☆☆ · 5 minutes", id="exercises"),
        new_code_cell("def double(x: float) -> float:\n    ...", metadata={"tags": ["exercise"]}, id="stub"),
        new_markdown_cell(SOLUTION, id="solution"),
        new_markdown_cell("## Idea and maths\n\nThe same heading again.", id="again"),
    ]


def put_run(root: Path, theme: str, slug: str, notebook: Any, *, key: str, **more: Any) -> dict[str, Any]:
    """Lay a finished run under build/runs; returns its result."""
    from lab.collection.records import claims_in

    folder = root / "build" / "runs" / key
    folder.mkdir(parents=True)
    nbformat.write(notebook, folder / "executed.ipynb")
    result = {
        "theme": theme,
        "notebook": slug,
        "slug": slug,
        "title": slug,
        "status": "ok",
        "error": None,
        "seconds": 42.0,
        "profile": "standard",
        "seed": 0,
        "parameters": {},
        "claims": claims_in(notebook),
        "closing": None,
        "key": key,
        "finished": "2026-01-01T00:00:00+00:00",
    } | more
    (folder / "result.json").write_text(json.dumps(result), encoding="utf-8")
    return result


def put_source(root: Path, theme: str, slug: str, notebook: Any) -> None:
    """Write a notebook's source."""
    path = root / "notebooks" / theme / f"{slug}.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    bare = nbformat.from_dict(json.loads(nbformat.writes(notebook)))
    for cell in bare.cells:
        if cell.cell_type == "code":
            cell.outputs = []
    bare.cells = [cell for cell in bare.cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    nbformat.write(bare, path)


def put_papers(root: Path) -> None:
    """Write data/papers.csv with four papers."""
    columns = ["key", "title", "theme", "kind", "tier", "scope", "idea", "claim", "experiment", "notebooks"]
    with (root / "data" / "papers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        for key, title, theme, scope in PAPERS:
            writer.writerow([key, title, theme, "loss", "1", scope, 'An idea, with "quotes"', "A claim", "-", ""])


def put_collection(root: Path) -> Path:
    """Lay out the collection at `root`."""
    (root / "data").mkdir(parents=True)
    (root / "data" / "manifest.json").write_text("{}", encoding="utf-8")
    put_papers(root)
    full = source(TITLE, executed_cells(), thumbnail="figure-one", papers=["paper-one", "paper-two"])
    put_source(root, "uniformity", "01-alignment", full)
    put_run(root, "uniformity", "01-alignment", full, key="aaaa")
    later = source("# Temperature", [new_code_cell("1 / 0", id="boom")])
    put_source(root, "uniformity", "02-temperature", later)
    error = "ZeroDivisionError: division by <zero>"
    # papermill puts cells of its own before the first and before the one that failed
    marks = {"tags": ["papermill-error-cell-tag"]}
    broken = nbformat.from_dict(json.loads(nbformat.writes(later)))
    traceback = ["\x1b[31mZeroDivisionError\x1b[0m"]
    broken.cells[-1].outputs = [new_output("error", ename="ZeroDivisionError", evalue="by", traceback=traceback)]
    broken.cells.insert(0, new_markdown_cell('<span style="color:red">An Exception</span>', metadata=marks))
    put_run(root, "uniformity", "02-temperature", broken, key="bbbb", status="failed", error=error)
    put_source(root, "uniformity", "03-later", source("# Never run", [new_code_cell("pass", id="p")]))
    hubs = source("# Hubs | and | bars", [new_code_cell("pass", id="p")], papers=[])
    put_source(root, "hubness", "01-hubs", hubs)
    (root / "notebooks" / "themes.toml").write_text(
        '[uniformity]\ntitle = "Uniformity & friends"\nintro = """\nTwo forces\non a sphere.\n"""\n', encoding="utf-8"
    )
    return root


def put_ledger(root: Path) -> None:
    """Write the finished run of the collection into its ledger."""
    from lab.collection import ledger

    result = json.loads((root / "build" / "runs" / "aaaa" / "result.json").read_text(encoding="utf-8"))
    name = "uniformity/01-alignment"
    result["claims"] = [{**record, "key": f"{name}#{record['slug']}"} for record in result["claims"]]
    ledger.update(root, [result], {f"{name}#ranks": 1.0})


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """The root of a collection, in a folder with a space in its name."""
    return put_collection(tmp_path / "a lab")


@pytest.fixture(scope="session")
def seen_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The gallery of a collection with a ledger and a question that papers answer differently; to be looked at only."""
    from lab.collection import gallery, tensions

    root = put_collection(tmp_path_factory.mktemp("seen") / "a lab")
    put_ledger(root)
    part = 'says = "So it is."\nclaims = ["uniformity/01-alignment#ranks"]\n'
    parts = "".join(f"[tension.{name}]\n{part}" for name in ("one", "other", "decided"))
    (root / tensions.TENSIONS).write_text(f'[[tension]]\nquestion = "Is it?"\n{parts}', encoding="utf-8")
    return gallery.build(root, complete=True).parent


@pytest.fixture
def add_run() -> Callable[..., dict[str, Any]]:
    """`put_run`, for tests that need one run more."""
    return put_run


@pytest.fixture
def make_claim() -> Callable[..., Claim]:
    """`claim`, for tests that need another one."""
    return claim


@pytest.fixture
def ledger_of(collection: Path) -> Callable[[], None]:
    """Writes the finished run of the collection into its ledger."""
    return lambda: put_ledger(collection)


@pytest.fixture(scope="session")
def pages() -> tuple[str, ...]:
    """One page of each kind, as addresses within the gallery."""
    return (
        "index.html",
        "ledger.html",
        "papers.html",
        "papers/paper-one.html",
        "tensions.html",
        "exercises.html",
        "losses.html",
        "probes.html",
        "uniformity/01-alignment.html",
        "uniformity/02-temperature.html",
    )
