"""The console script ``lab``: each command is wired to a plain function; nothing is decided here."""

from __future__ import annotations

import datetime
import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from lab import commands
from lab.commands import count, table

HELP = """
What papers claim about the geometry of learned embeddings, measured.

**lab run** executes the notebooks, judges their claims and builds a gallery of pages to read.
"""

app = typer.Typer(
    name="lab",
    help=HELP,
    rich_markup_mode="markdown",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.add_typer(commands.data_app, name="data")
app.command()(commands.losses)
app.command()(commands.bench)
app.command()(commands.checkup)

Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[THEME|NOTEBOOK]...", help="Themes or notebooks; all of them if none is named."),
]


class RunCommand(TyperCommand):
    """Lets ``-p`` and ``--sweep`` take two words, a name and what it is to be, any number of times."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Fold each ``-p NAME VALUE`` into one word before the usual parsing."""
        return super().parse_args(ctx, folded(args))


def folded(args: Sequence[str]) -> list[str]:
    """The arguments with every ``-p NAME VALUE`` as ``-p NAME=VALUE``, and ``--sweep`` likewise.

    Raises:
        ValueError: one that two words do not follow.

    Example:
        >>> folded(["uniformity", "-p", "steps", "30", "-j", "2"])
        ['uniformity', '-p', 'steps=30', '-j', '2']
    """
    rest, made = list(args), []
    while rest:
        word = rest.pop(0)
        made.append(word)
        if word in ("-p", "--parameter", "--sweep"):
            # NAME=VALUE in one word is accepted as well
            if rest and "=" in rest[0]:
                continue
            if len(rest) < 2:
                raise ValueError(f"{word} needs a name and a value: {word} NAME VALUE")
            made.append(f"{rest.pop(0)}={rest.pop(0)}")
    return made


@app.command(cls=RunCommand)
def run(
    names: Names = None,
    profile: Annotated[
        str, typer.Option(metavar="PROFILE", help="smoke (20 s, no verdicts), standard (minutes) or large (GPU).")
    ] = "standard",
    seed: Annotated[int, typer.Option(metavar="N", help="Base seed; the ledger is made with 0.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option("--jobs", "-j", metavar="N", help="Notebooks at a time. Default: one a core, at most 4."),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option("--parameter", "-p", metavar="NAME VALUE", help="Set a parameter of the notebooks; repeatable."),
    ] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Run only what changed since it was recorded.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run also what is finished and unchanged.")] = False,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Limit for each notebook. Default: 120 at smoke, 600 at standard."),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Run afresh and compare the verdicts with the ledger.")
    ] = False,
    budget: Annotated[
        float | None, typer.Option(metavar="MINUTES", help="With --verify: stop after so many minutes.")
    ] = None,
    draw: Annotated[
        int | None,
        typer.Option(metavar="N", help="With --verify: seed of the drawn order. Default: the date."),
    ] = None,
    stability: Annotated[
        int | None, typer.Option(metavar="K", help="Repeat with K other base seeds; note how often verdicts agree.")
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME V1,V2,...", help="Run with each value of a parameter, or seed; repeatable."),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Dask scheduler (tcp://host:port) whose workers run the notebooks."),
    ] = None,
) -> None:
    """Execute notebooks, judge their claims, keep the ledger and build the gallery.

    A name is a theme (uniformity), a notebook (02-temperature, uniformity/02-temperature) or a path. What is finished
    and unchanged is taken over, so a run that was interrupted goes on where it stopped.

    The exit code is 0 if all is well, 1 if a notebook failed or a verdict is not the expected one, 2 for a mistake in
    the command.
    """
    from lab.collection.place import root
    from lab.collection.runner import Request, default_workers
    from lab.collection.runner import run as run_notebooks

    pairs = [(name, value) for name, _, value in (text.partition("=") for text in parameter or [])]
    count = default_workers() if workers is None else workers
    request = Request(names or (), profile, seed, count, pairs, changed, force, timeout, cluster)
    if not verify and (budget is not None or draw is not None):
        raise ValueError(f"{'--budget' if budget is not None else '--draw'} goes with --verify only")
    if verify or stability is not None:
        mode = "--verify" if verify else "--stability"
        others = {
            "--profile": profile != "standard",
            "--seed": seed != 0,
            "--parameter": bool(pairs),
            "--changed": changed,
            "--stability": verify and stability is not None,
            "--force": verify and force,
            "--sweep": bool(sweep),
            "--cluster": verify and cluster is not None,
        }
        if clash := next((name for name, used in others.items() if used), None):
            raise ValueError(f"{mode} cannot be combined with {clash}: it is about the recorded runs")
    if verify:
        from lab.collection.verify import verify as verify_ledger

        code = verify_ledger(root(), request, budget, datetime.date.today().toordinal() if draw is None else draw)
    elif stability is not None:
        from lab.collection.stability import stability as measure_stability

        code = measure_stability(root(), request, stability)
    elif sweep:
        from lab.collection import sweep as sweeps

        if changed:
            raise ValueError("--sweep cannot be combined with --changed: that is about the recorded runs")
        code = sweeps.sweep(root(), request, sweeps.parse(sweep))
    else:
        code = run_notebooks(root(), request)
    raise typer.Exit(code)


@app.command()
def check(
    names: Names = None,
) -> None:
    """Check that notebooks are built as the collection wants them. Nothing is executed."""
    from lab.collection.check import problems
    from lab.collection.place import choose, root

    base = root()
    paths = choose(base, names or ())
    found = problems(base, paths if any(names or ()) else None)
    for problem in found:
        typer.echo(problem)
    typer.echo(f"{count(len(paths), 'notebook')}, {count(len(found), 'problem') if found else 'no problems'}")
    raise typer.Exit(1 if found else 0)


@app.command()
def strip(
    names: Names = None,
    verify: Annotated[bool, typer.Option("--verify", help="Change nothing; say which are not stripped.")] = False,
) -> None:
    """Remove outputs and volatile metadata from notebooks, the form they are kept in."""
    from lab.collection.place import choose, name_of, root
    from lab.collection.strip import is_stripped
    from lab.collection.strip import strip as strip_notebook

    paths = choose(root(), names or ())
    touched = [path for path in paths if (not is_stripped(path) if verify else strip_notebook(path))]
    for path in touched:
        typer.echo(f"{name_of(path)}: {'not stripped' if verify else 'stripped'}")
    done = "all stripped" if verify else "nothing to strip"
    state = f"{len(touched)} {'not stripped (lab strip does it)' if verify else 'stripped'}" if touched else done
    typer.echo(f"{count(len(paths), 'notebook')}, {state}")
    raise typer.Exit(1 if verify and touched else 0)


@app.command()
def new(
    theme: Annotated[str, typer.Argument(metavar="THEME", help="Folder under notebooks/, made if need be.")],
    slug: Annotated[str, typer.Argument(metavar="SLUG", help="File name such as 06-my-question.")],
) -> None:
    """Start a notebook from the template; it runs and passes `lab check` as it is."""
    from lab.collection import template
    from lab.collection.place import root

    typer.echo(template.new(root(), theme, slug))


@app.command()
def gallery() -> None:
    """Build the pages of the gallery from the finished runs on disk, and the API pages from the docstrings."""
    from lab.collection import gallery as pages
    from lab.collection.place import root

    index = pages.build(root(), None, complete=True)
    pages.build_api(root())
    typer.echo(index)


@app.command()
def papers(
    theme: Annotated[str | None, typer.Option(metavar="THEME", help="Only the papers of one theme.")] = None,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only papers to be reproduced or sketched that no notebook takes up.")
    ] = False,
    update: Annotated[
        bool, typer.Option("--update", help="First bring the notebooks named in data/papers.csv up to date.")
    ] = False,
) -> None:
    """List the papers, how far each is taken up, and the notebooks that do so."""
    from lab.collection import papers as listed
    from lab.collection.place import root

    base = root()
    if update:
        listed.update(base)
    rows = listed.listing(base, theme, missing)
    heads = ["key", "theme", "scope", "title", "notebooks"]
    table(heads, [[p.key, p.theme, p.scope, p.title, p.notebooks.replace(";", " ")] for p in rows])
    typer.echo(count(len(rows), "paper"))


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line; a person's mistake ends with one line on stderr and exit code 2.

    Args:
        args: words after ``lab``; those of the process if None.

    Set the environment variable LAB_TRACEBACK to see where in the code an error came from.
    """
    try:
        code = app(args=None if args is None else list(args), prog_name="lab", standalone_mode=False)
    except typer.TyperException as error:
        code = _complain(error.format_message(), getattr(error, "exit_code", 2))
    except ValueError as error:
        if os.environ.get("LAB_TRACEBACK"):
            raise
        code = _complain(str(error), 2)
    except (KeyboardInterrupt, typer.Abort):
        code = _complain("interrupted", 130)
    except BrokenPipeError:  # the reader of our output, such as `head`, went away
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    if line:
        print(f"lab: {line}", file=sys.stderr)
    return code
