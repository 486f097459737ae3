"""The command line of the course: ``lecturekit`` or ``python -m lecturekit``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Annotated

import typer

from .. import benchmarks
from ..kit.storage import ROOT

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From Class to Pixels: tools.",
)


@app.command()
def doctor() -> None:
    """Say what the course finds on this machine, what it misses and what to do about it."""
    from . import doctor

    raise typer.Exit(doctor.main())


@app.command()
def refresh(
    notebooks: Annotated[
        list[Path] | None,
        typer.Argument(help="Notebooks; all of the course if none is named.", exists=True, dir_okay=False),
    ] = None,
    timeout: Annotated[int, typer.Option(help="Seconds that one cell may take.")] = 600,
) -> None:
    """Run notebooks and write them back with lean outputs; a notebook with a fault stays as it was."""
    from .refresh import Refused, refresh

    refused = 0
    for path in notebooks or sorted((ROOT / "notebooks").glob("*.ipynb")):
        try:
            typer.echo(f"{path.name}: {refresh(path, timeout) / 1000:.0f} KB")
        except Refused as error:
            refused += 1
            typer.echo(f"{path.name}: left as it was\n{error}", err=True)
    raise typer.Exit(min(refused, 1))


@app.command()
def pins(
    upgrade: Annotated[bool, typer.Option(help="Take the newest versions that the ranges allow.")] = False,
    check: Annotated[bool, typer.Option(help="Change nothing; fail where the files disagree.")] = False,
) -> None:
    """Write the tested set of versions to constraints.txt and to pyproject.toml."""
    from .pins import disagreements, repin

    if not check:
        try:
            repin(ROOT, upgrade=upgrade)
        except (FileNotFoundError, RuntimeError) as error:
            raise typer.BadParameter(str(error)) from error
    found = disagreements(ROOT)
    typer.echo("\n".join(found) or "pyproject.toml, constraints.txt and environment.yml agree")
    raise typer.Exit(bool(found))


@app.command()
def fetch(
    name: Annotated[str, typer.Argument(help="voc2012, sbd, coco-val or bsds500.")],
    source: Annotated[
        Path | None, typer.Option("--from", help="An archive that came another way, or its folder.")
    ] = None,
) -> None:
    """Bring photographs with labels to this machine: from mirrors, checked, resumed after a break."""
    from ..datasets.download import FetchError, fetch
    from ..datasets.sources import SOURCES

    if name not in SOURCES:
        raise typer.BadParameter(f"there is no {name!r}; there is {', '.join(SOURCES)}")
    typer.echo(f"{SOURCES[name].title}. Terms: {SOURCES[name].terms}.")
    try:
        typer.echo(f"{fetch(name, source=source)}")
    except (FetchError, FileNotFoundError) as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error


@app.command()
def docs(
    folder: Annotated[Path, typer.Argument(help="Where they go.", file_okay=False)] = Path("docs/_build"),
) -> None:
    """Build the API reference from the docstrings; a docstring that cannot be read is an error."""
    from .docs import build

    try:
        build(folder)
    except RuntimeError as error:
        typer.echo(error, err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{folder / 'index.html'}")


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="What to measure: a module of lecturekit.benchmarks.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of pictures, where the benchmark needs one.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="How many students a recipe (boxes).")] = None,
    quick: Annotated[bool | None, typer.Option("--quick", help="Few pictures, one seed (boxes).")] = None,
) -> None:
    """Measure our methods beside other libraries' in one run, and print the table."""
    known = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    if name not in known:
        raise typer.BadParameter(f"there is no benchmark {name!r}; there is {', '.join(known)}")
    run = importlib.import_module(f"{benchmarks.__name__}.{name}").run
    given = {"data": data, "seeds": seeds, "quick": quick}
    options = {option: value for option, value in given.items() if value is not None}
    if unknown := [option for option in options if option not in inspect.signature(run).parameters]:
        raise typer.BadParameter(f"the benchmark {name!r} has no option --{unknown[0]}")
    typer.echo(run(**options))
