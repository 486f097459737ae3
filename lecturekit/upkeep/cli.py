"""The command line of the course: ``lecturekit`` or ``python -m lecturekit``."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__, benchmarks
from ..kit.storage import ROOT
from . import project_cli

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From Class to Pixels: tools.",
)


app.add_typer(project_cli.app, name="project")


@contextmanager
def _refused(*kinds: type[Exception]) -> Generator[None]:
    """Errors of these kinds are the caller's: one line with the command's usage, no traceback."""
    try:
        yield
    except kinds as error:
        raise typer.BadParameter(str(error)) from error


@contextmanager
def _failing(*kinds: type[Exception]) -> Generator[None]:
    """Errors of these kinds are not the call's fault: one line, and the exit code 1."""
    try:
        yield
    except kinds as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(1) from error


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Say which edition this is.")] = False,
) -> None:
    """From Class to Pixels: tools."""
    if version:
        typer.echo(__version__)
    elif context.invoked_subcommand is None:
        typer.echo(context.get_help())
        typer.echo("First: `lecturekit doctor` looks at this machine, `lecturekit start` opens the course.")


@app.command()
def start(
    folder: Annotated[
        Path | None, typer.Argument(help="Where the copies go; in a clone of the course, the clone.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open JupyterLab; else only make the copies.")] = True,
) -> None:
    """Copy the notebooks to a folder of your own and open the first one in JupyterLab."""
    from . import copies

    if folder is None:
        folder = ROOT if (ROOT / "notebooks").is_dir() else Path("from-class-to-pixels")
    with _refused(OSError):
        first = copies.start(folder)
    typer.echo(f"{first}")
    if browser:
        try:
            from jupyterlab.labapp import main as open_lab
        except ImportError as error:
            raise typer.BadParameter(
                "JupyterLab is missing: python -m pip install 'lecturekit[lab]'"
            ) from error
        raise typer.Exit(open_lab([f"--ServerApp.root_dir={folder.resolve()}"]))


@app.command()
def update(
    folder: Annotated[Path, typer.Argument(help="With the copies.")] = ROOT / "work",
) -> None:
    """Bring a new edition of the notebooks into your copies; what you wrote stays."""
    from . import copies

    with _refused(FileNotFoundError):
        changes = copies.update(folder)
    typer.echo("\n".join(map(str, changes)) or "your copies are of this edition")


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

    refused, notebooks = 0, notebooks or sorted((ROOT / "notebooks").glob("*.ipynb"))
    if not notebooks:
        raise typer.BadParameter("there are no notebooks here: this is for a clone of the course")
    for path in notebooks:
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

    if not (ROOT / "constraints.txt").is_file():
        raise typer.BadParameter("there is no constraints.txt here: this is for a clone of the course")
    if not check:
        with _refused(FileNotFoundError, RuntimeError):
            repin(ROOT, upgrade=upgrade)
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
    with _failing(FetchError, FileNotFoundError):
        typer.echo(f"{fetch(name, source=source)}")


@app.command()
def reproduce(
    experiment: Annotated[str, typer.Argument(help="simple-does-it.")],
    data: Annotated[Path, typer.Option(help="Folder in VOC's layout.")],
    out: Annotated[Path, typer.Option(help="Where every step leaves what it made.")],
    quick: Annotated[bool, typer.Option("--quick", help="A few pictures: does everything run?")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Steps, disk, core- and GPU-hours; nothing is started.")
    ] = False,
    weights: Annotated[str | None, typer.Option(help="ImageNet's, a file; or hub.")] = None,
    network: Annotated[str | None, typer.Option(help="In place of the paper's.")] = None,
    workers: Annotated[int, typer.Option(help="Processes that make labels.")] = 0,
    dask: Annotated[str | None, typer.Option(help="Scheduler of a cluster that makes labels.")] = None,
    devices: Annotated[int, typer.Option(help="To train on, a machine.")] = 1,
    num_nodes: Annotated[int, typer.Option(help="Machines to train on.")] = 1,
    accumulate: Annotated[int, typer.Option(help="Parts of a step, where memory is short.")] = 1,
    loaders: Annotated[int, typer.Option(help="Processes a device that read pictures.")] = 0,
    tflops: Annotated[float, typer.Option(help="Speed of a GPU, for the dry run.")] = 20.0,
) -> None:
    """Run a paper's experiment, or what is left of it, and print its table beside the paper's."""
    from .. import reproduce as room

    spread = {"devices": devices, "num_nodes": num_nodes, "accumulate": accumulate, "workers": loaders}
    settings = spread | {k: v for k, v in (("weights", weights), ("network", network)) if v is not None}
    with _refused(ImportError, OSError, ValueError):
        if dry_run:
            text = room.dry_run(room.planned(experiment, data, out, quick, settings), tflops)
        else:
            text = room.reproduce(
                experiment, data, out, settings, quick=quick, workers=workers, dask=dask, progress=True
            )
    typer.echo(text)


@app.command()
def labels(
    recipe: Annotated[str, typer.Argument(help="How: naive, box_inner, grabcut, grabcut_plus, mcg, ...")],
    data: Annotated[Path, typer.Option(help="Folder in VOC's layout.")],
    out: Annotated[Path, typer.Option(help="Folder for the labels, one PNG a picture.")],
    split: Annotated[str, typer.Option(help="A list in ImageSets/Segmentation.")] = "train",
    side: Annotated[int | None, typer.Option(help="Make them at this longer side, and enlarge.")] = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine; 0: none beside this one.")] = 0,
    dask: Annotated[str | None, typer.Option(help="Scheduler of a cluster, tcp://HOST:8786.")] = None,
) -> None:
    """Make labels of boxes for many pictures, on all cores or on a cluster; a second run goes on."""
    from ..learning.label_files import write_label_files

    with _refused(ImportError, OSError, ValueError):
        report = write_label_files(
            recipe, data, split, out, side=side, workers=workers, dask=dask, progress=True
        )
    typer.echo(str(report))
    raise typer.Exit(bool(report.failed))


@app.command()
def site(
    folder: Annotated[Path, typer.Argument(help="Where it goes.", file_okay=False)] = Path("site/_build"),
    photo: Annotated[bool, typer.Option(help="With the page for a visitor's own photograph.")] = True,
) -> None:
    """Build the course's web pages and the API reference; what Sphinx warns of is an error."""
    from ..publish.inspection import size_of
    from ..publish.site import Faulty, build

    with _failing(Faulty, FileNotFoundError):
        missing = build(folder, photo)
    typer.echo(f"{folder / 'index.html'}: {size_of(folder) / 1e6:.1f} MB")
    if missing:
        typer.echo(f"without the page for a visitor's own photograph: {missing}", err=True)


@app.command()
def teach(
    folder: Annotated[Path, typer.Argument(help="Where it goes.", file_okay=False)] = Path("docs/teach"),
    slides: Annotated[bool, typer.Option(help="Make the slides, too; that wants Node.js.")] = True,
) -> None:
    """Write the teacher's kit: plans, a page a chapter, quizzes for learning platforms, a rubric, slides."""
    from ..publish import teach

    with _refused(FileNotFoundError):
        written = teach.write(folder)
    typer.echo(f"{written[0]} and {len(written) - 1} more files")
    if slides:
        _slides(folder / "slides")


@app.command()
def slides(
    folder: Annotated[Path, typer.Argument(help="Where they go.", file_okay=False)] = Path(
        "docs/teach/slides"
    ),
) -> None:
    """Make slides of every chapter, with speaker notes; they work offline. Wants Node.js for reveal.js."""
    _slides(folder)


@app.command("class")
def of_a_class(
    folder: Annotated[Path, typer.Argument(help="With the files that students handed in.", file_okay=False)],
    out: Annotated[Path, typer.Option(help="The page.", dir_okay=False)] = Path("class.html"),
) -> None:
    """Show what a class handed in (stopwatch, ladder, exercises, project reports) on a page without names."""
    from ..publish import collect

    with _refused(FileNotFoundError, ValueError):
        found = collect.write(folder, out)
    typer.echo(f"{found}\n{out}")


def _slides(folder: Path) -> None:
    from ..publish import slides

    with _refused(FileNotFoundError), _failing(RuntimeError):
        written = slides.write(folder)
    typer.echo(f"{written[0]} and {len(written) - 1} decks")


@app.command()
def photo(
    out: Annotated[Path, typer.Argument(help="Folder, in which `photo/` is made.", file_okay=False)],
) -> None:
    """Build the page that explains a visitor's own photograph in the browser."""
    from ..publish.photo import build

    with _failing(ImportError, FileNotFoundError, RuntimeError, ValueError):
        page = build(out)
    typer.echo(f"{page}\nTo open it: python -m http.server --directory {out}")
    typer.echo("then http://localhost:8000/photo/ in a browser")


@app.command()
def bench(
    name: Annotated[str, typer.Argument(help="What to measure: a module of lecturekit.benchmarks.")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of pictures, where the benchmark needs one.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="How many students a recipe (boxes).")] = None,
    quick: Annotated[
        bool | None, typer.Option("--quick", help="Few pictures (boxes: one seed; evidence: one picture).")
    ] = None,
    finetune: Annotated[
        bool | None, typer.Option("--finetune", help="Whole networks as students (boxes); wants a GPU.")
    ] = None,
) -> None:
    """Measure our methods beside other libraries' in one run, and print the table."""
    known = [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]
    if name not in known:
        raise typer.BadParameter(f"there is no benchmark {name!r}; there is {', '.join(known)}")
    run = importlib.import_module(f"{benchmarks.__name__}.{name}").run
    given = {"data": data, "seeds": seeds, "quick": quick, "finetune": finetune}
    options = {option: value for option, value in given.items() if value is not None}
    if unknown := [option for option in options if option not in inspect.signature(run).parameters]:
        raise typer.BadParameter(f"the benchmark {name!r} has no option --{unknown[0]}")
    with _refused(FileNotFoundError):
        typer.echo(run(**options))
