"""Commands about the package itself: its data, its losses, its speed. `lab.cli` hangs them into the console script."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

data_app = typer.Typer(help="The embedded data sets: list them, or check their bytes.", add_completion=False)


@data_app.callback(invoke_without_command=True)
def data(ctx: typer.Context) -> None:
    """The embedded data sets: list them, or check their bytes with `lab data verify`."""
    if ctx.invoked_subcommand is None:
        from lab.datasets import manifest

        rows = manifest.listing()
        table(
            ["name", "MB", "files", "what", "licence"],
            [[str(row[k]) for k in ("name", "mb", "files", "what", "licence")] for row in rows],
        )


@data_app.command("verify")
def data_verify() -> None:
    """Check every file of the data folder against the SHA-256 of the manifest."""
    from lab.datasets import manifest

    problems = manifest.verify()
    for problem in problems:
        typer.echo(problem)
    files = count(len(manifest.entries()), "file")
    typer.echo(f"{files}, {count(len(problems), 'problem')}" if problems else f"{files}, all as in the manifest")
    raise typer.Exit(1 if problems else 0)


def losses(
    data: Annotated[
        str | None,
        typer.Argument(metavar="[DATA]", help="What you have: pairs, labels ... in quotes; all if not named."),
    ] = None,
) -> None:
    """Which loss fits the data one has: every loss of lab.losses by what it asks for."""
    from lab.collection import catalogue

    entries = catalogue.losses()
    for kind, fit in catalogue.fitting(data, entries):
        typer.secho(f"{kind}: {catalogue.DATA[kind]}", bold=True)
        typer.echo(f"begin with {' or '.join(catalogue.FIRST[kind])}")
        table(["loss", "file", "what it does"], [[e.name, f"{e.module}.py", e.purpose] for e in fit])
        typer.echo()
    typer.echo(f"{count(len(entries), 'loss', 'losses')}; python -c \"help('lab.losses.NAME')\" tells all about one")


def bench(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="losses, probes or training")],
    rows: Annotated[
        int | None, typer.Option(metavar="N", help="Largest number of rows; the full benchmark takes minutes.")
    ] = None,
) -> None:
    """Measure speed and memory beside plain forms and other libraries, in one run; prints ratios."""
    from lab import bench as benches

    benches.run(what, rows, typer.echo)


def checkup(
    embeddings: Annotated[
        str,
        typer.Argument(
            metavar="EMBEDDINGS",
            help="One row an item: .npy, .npz, .safetensors, .parquet or .csv; FILE:NAME for a part of a file.",
        ),
    ],
    labels: Annotated[
        str | None, typer.Option(metavar="FILE", help="A class for each row: whole numbers or words.")
    ] = None,
    pairs: Annotated[
        str | None, typer.Option(metavar="FILE", help="The same items in another modality, row by row.")
    ] = None,
    values: Annotated[
        str | None, typer.Option(metavar="FILE", help="An ordered attribute: a number for each row.")
    ] = None,
    compare: Annotated[str | None, typer.Option(metavar="FILE", help="The same items under another model.")] = None,
    output: Annotated[
        str,
        typer.Option("--output", "-o", metavar="FILE", help="Where the page goes; a page that is there is replaced."),
    ] = "report.html",
    seed: Annotated[int, typer.Option(metavar="N", help="Of every sample and split; the same N, the same page.")] = 0,
) -> None:
    """What is wrong with a set of embeddings, and what helps: one page, without a request to anywhere.

    The files are only read. Beyond 20,000 rows some figures come from a seeded sample, which the page then says.
    """
    target = writable_page(output, [name for name in (embeddings, labels, pairs, values, compare) if name is not None])
    from lab.checkup import checkup as look_over

    with progress_line() as progress:
        report = look_over(
            embeddings, labels=labels, pairs=pairs, values=values, compare=compare, seed=seed, progress=progress
        )
        report.save(target)
    status = [finding.status for finding in report.findings]
    trouble, look = status.count("trouble"), status.count("look")
    typer.echo(f"{target}: {count(len(status), 'finding')}, {trouble} of trouble, {look} worth a look")
    if trouble or look:
        typer.echo(report.findings[0].sentence)


def writable_page(output: str, inputs: Sequence[str]) -> Path:
    """Where a page may go; looked at before the work begins.

    Args:
        output: what was asked for; must end in .html.
        inputs: files that are read, perhaps with a name after a colon.

    Raises:
        ValueError: another ending, no such folder, a folder, or one of the inputs, also by way of a link.

    Example:
        >>> writable_page("report.html", ["vectors.npy"]).name
        'report.html'
    """
    target = Path(output)
    for name in inputs:
        for path in (Path(name), Path(name.rpartition(":")[0] or name)):
            if path.exists() and (target.resolve() == path.resolve() or (target.exists() and target.samefile(path))):
                raise ValueError(f"the page cannot be written to {target}: that is an input, and inputs are only read")
    if target.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"the page cannot be written to {target}: its name must end in .html")
    if target.is_dir():
        raise ValueError(f"the page cannot be written to {target}: that is a folder")
    if not target.absolute().parent.is_dir():
        raise ValueError(f"the page cannot be written to {target}: there is no folder {target.parent}")
    if not os.access(target.absolute().parent, os.W_OK):
        raise ValueError(
            f"the page cannot be written to {target}: nothing can be written in {target.absolute().parent}"
        )
    return target


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """A function that shows a few words in one line of the terminal, in place; elsewhere it shows nothing."""
    shown = sys.stderr.isatty()

    def show(text: str) -> None:
        if shown:
            width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
            line = " ".join(text.split())[: width - 1]
            print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        show("")


def count(number: int, noun: str, several: str = "") -> str:
    """A number with its noun.

    >>> count(1, "file"), count(2, "file"), count(3, "loss", "losses")
    ('1 file', '2 files', '3 losses')
    """
    return f"{number} {noun}" if number == 1 else f"{number} {several or noun + 's'}"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under heads, folded to the width of the terminal."""
    from rich.table import Table

    from lab.collection.progress import console

    made = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for head in heads:
        made.add_column(head, overflow="fold")
    for row in rows:
        made.add_row(*row)
    console().print(made)
