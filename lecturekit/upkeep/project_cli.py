"""``lecturekit project ...``: a project of one's own, from a folder of pictures to masks."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from ..labs.project import Project

app = typer.Typer(
    help="Your own project: label pictures of a folder, train a network on them, get masks.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

#: Where the project is, for all commands but `new`.
Where = Annotated[
    Path, typer.Option("--project", "-p", help="The project file (project.yaml) or the folder it lies in.")
]
HERE = Path(".")
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best one there is if not named.")]
Browser = Annotated[bool, typer.Option(help="Open JupyterLab; else only make the notebook.")]

_CELLS = (
    "# Draw labels: Page Down and Page Up turn the page, everything is saved at once.\n"
    "# Then, in a terminal or in a cell below: project.train(p); project.report(p)\n"
    "from lecturekit.labs import project\n"
    "from lecturekit.widgets.project_labeller import ProjectLabeller\n\n"
    "p = project.load({path!r})\n"
    "options = project.labeller_options(p)\n"
    "labeller = ProjectLabeller(p, **options)\n"
    "{more}"
    "labeller",
)

_CORRECT = (
    'labeller.do("show doubtful" if "doubtful" in options else "show unlabelled")\nlabeller.do("answers")\n'
)


@app.command()
def new(
    folder: Annotated[Path, typer.Argument(help="Of the pictures; they stay where they are.")],
    classes: Annotated[str, typer.Option(help="What is looked for, with commas: cat,dog.")],
    path: Annotated[
        Path | None, typer.Option(help="Where the project file goes; the folder of the pictures if not said.")
    ] = None,
    test: Annotated[int, typer.Option(help="Pictures set aside for the report.")] = 12,
    seed: Annotated[int, typer.Option(help="Of the choice of these.")] = 0,
) -> None:
    """Begin a project: name the pictures, set some aside for an honest number."""
    from ..labs import project

    with _told():
        made = project.new(folder, classes.split(","), path=path, test=test, seed=seed)
        typer.echo(f"{made.path}: {len(made.train)} pictures to learn from, {len(made.test)} set aside")
        _say_skipped(made.skipped)


@app.command()
def plan(
    hours: Annotated[float, typer.Argument(help="There are for labelling.")],
    where: Where = HERE,
    objects: Annotated[float, typer.Option(help="Objects a picture, on average.")] = 2.0,
    quality: Annotated[float | None, typer.Option(help="Mean IoU that is wanted, 0 to 1.")] = None,
    wage: Annotated[float | None, typer.Option(help="What an hour costs: each way gets its cost.")] = None,
    currency: Annotated[str, typer.Option(help="Of the wage.")] = "EUR",
) -> None:
    """Say which labels to draw in so many hours, how many, and what to expect; begins from your report."""
    from ..labs import project
    from ..labs.project._plan import plan as plan_labels

    with _told():
        found = project.load(where)
        count, kinds, aside = len(found.train), len(found.classes), len(found.test)
        pilot = project.reported(found)
        answer = plan_labels(
            hours,
            count,
            objects=objects,
            classes=kinds,
            quality=quality,
            pilot=pilot,
            test=aside or None,
            wage=wage,
            currency=currency,
        )
        typer.echo(str(answer))
        if pilot is not None:
            typer.echo(
                f"It begins from your report: {pilot.quality:.2f} ({pilot.low:.2f} to {pilot.high:.2f})."
            )


@app.command()
def refresh(where: Where = HERE) -> None:
    """Look at the folder again: take new pictures in, tell which are gone."""
    from ..labs import project

    with _told():
        now = project.refresh(project.load(where))
        typer.echo(f"{now.path}: {len(now.train)} pictures to learn from, {len(now.test)} set aside")
        for one in now.gone:
            typer.echo(f"  gone: {one.file}; {len(now.labels(one))} labels of it are kept")
        _say_skipped(now.skipped)


@app.command()
def rename(
    old: Annotated[str, typer.Argument(help="A class.")],
    name: Annotated[str, typer.Argument(help="Its name from now on.")],
    where: Where = HERE,
) -> None:
    """Give a class another name; its labels stay."""
    from ..labs import project

    with _told():
        project.load(where).rename_class(old, name)


@app.command()
def label(
    where: Where = HERE, browser: Annotated[bool, typer.Option(help="Open JupyterLab.")] = True
) -> None:
    """Draw labels of every kind on the project's pictures, in JupyterLab."""
    _notebook(where, "label", "", browser)


@app.command()
def correct(where: Where = HERE, browser: Browser = True) -> None:
    """See the student's masks over the pictures, scribble where they are wrong; then train again."""
    from ..labs import project

    with _told():
        project.trained(project.load(where))  # there must be a student
    _notebook(where, "correct", _CORRECT, browser)


@app.command(name="import")
def import_(
    path: Annotated[Path, typer.Argument(help="The file, or the folder, of the other tool.")],
    format_: Annotated[str, typer.Option("--from", help="coco, voc, yolo, cvat or labelme.")],
    where: Where = HERE,
) -> None:
    """Bring labels of another tool into the project."""
    from ..labs import project

    with _told():
        typer.echo(str(project.import_labels(project.load(where), path, format_)))


@app.command()
def train(
    where: Where = HERE,
    seeds: Annotated[int, typer.Option(help="How many students, who answer together.", min=1)] = 1,
    finetune: Annotated[bool, typer.Option("--finetune", help="The whole network: for a GPU.")] = False,
    side: Annotated[int, typer.Option(help="Longer side as the network sees a picture.")] = 384,
    device: Device = None,
    resume: Annotated[bool, typer.Option(help="Go on where a call was stopped.")] = True,
) -> None:
    """Teach a student all that is drawn."""
    from ..labs import project
    from ..labs.project._train import WORDS

    with _told():
        made = project.train(
            project.load(where),
            seeds=range(seeds),
            finetune=finetune,
            side=side,
            device=device,
            resume=resume,
        )
        facts = made.facts
        labels = ", ".join(f"{n} {WORDS[kind][n != 1]}" for kind, n in facts["labels"].items())
        typer.echo(
            f"taught by {facts['pictures']} pictures with {labels}, drawn in {facts['hours']:.2f} h; "
            f"{facts['cpu_seconds']:.0f} s of processor time"
        )


@app.command()
def suggest(
    where: Where = HERE,
    number: Annotated[int, typer.Option("-n", help="How many.", min=1)] = 10,
    by: Annotated[
        str,
        typer.Option(
            help="coverage: what stands for many others, to label; doubt: where there is most to correct."
        ),
    ] = "coverage",
) -> None:
    """Say which pictures to label next, and how; before anything is drawn, where to begin."""
    from ..labs import project
    from ..labs.project._train import WORDS

    with _told():
        found = project.suggest(project.load(where), number, by=by)
    for one in found:
        typer.echo(f"{one.picture.file}: {WORDS[one.kind][0]}; {one.why}")
    if not found:
        typer.echo("nothing to suggest: every picture to learn from has a label")


@app.command()
def report(
    where: Where = HERE,
    out: Annotated[Path | None, typer.Option(help="Of the page; beside the project if not said.")] = None,
) -> None:
    """Measure the student on the pictures set aside; one page, readable offline."""
    from ..labs import project

    with _told():
        typer.echo(f"{project.report(project.load(where), out)}")


@app.command()
def board(
    folder: Annotated[Path, typer.Argument(help="Of everyone's report files (JSON).")],
) -> None:
    """Make a leader board of everyone's report files, without names."""
    from ..labs import project

    with _told():
        made = project.leader_board(folder)
        typer.echo(str(made))
        _say_skipped(made.skipped)


@app.command()
def predict(
    folder: Annotated[Path, typer.Argument(help="Of new pictures.")],
    where: Where = HERE,
    to: Annotated[str, typer.Option(help="png, coco, voc or yolo.")] = "png",
    out: Annotated[Path | None, typer.Option(help="Where the masks go; else beside the project.")] = None,
    confidence: Annotated[bool, typer.Option(help="Write how sure the student is, too.")] = True,
    overlays: Annotated[bool, typer.Option(help="Write the masks over the pictures, too.")] = True,
    device: Device = None,
) -> None:
    """Write the student's masks of all pictures of a folder; go on where a call was stopped."""
    from ..labs import project

    with _told():
        found = project.load(where)
        made = project.predict(
            found, folder, to, out, confidence=confidence, overlays=overlays, device=device
        )
        typer.echo(f"{made.folder}: masks of {made.pictures} pictures")
        _say_skipped(made.skipped)


@app.command()
def export(
    path: Annotated[Path, typer.Argument(help="Of the file: student.pt (TorchScript) or student.onnx.")],
    where: Where = HERE,
    to: Annotated[str | None, typer.Option(help="torchscript or onnx; else by the file's ending.")] = None,
) -> None:
    """Write the student as one TorchScript or ONNX file, with its preprocessing inside."""
    from ..labs import project

    with _told():
        typer.echo(f"{project.export(project.load(where), path, to)}")


# ----------------------------------------------------------------------------------------------- helpers


@contextmanager
def _told() -> Generator[None]:
    """What is wrong is said in one line, not with a traceback."""
    try:
        yield
    except (ValueError, OSError, ImportError) as error:
        typer.echo(f"{error}", err=True)
        raise typer.Exit(1) from error


def _say_skipped(skipped: tuple) -> None:
    for one in skipped[:20]:
        typer.echo(f"  left out: {one.file}: {one.reason}")
    if len(skipped) > 20:
        typer.echo(f"  and {len(skipped) - 20} more")


def _notebook(where: Path, name: str, more: str, browser: bool) -> None:
    """A notebook of one cell beside the project, in JupyterLab."""
    from ..labs import project

    with _told():
        found = project.load(where)
        path = _written(found, name, more)
    typer.echo(f"{path}")
    if browser:
        try:
            from jupyterlab.labapp import main as open_lab
        except ImportError as error:
            raise typer.BadParameter("JupyterLab is missing: python -m pip install jupyterlab") from error
        raise typer.Exit(open_lab([f"--ServerApp.root_dir={path.parent.resolve()}", str(path.resolve())]))


def _written(found: Project, name: str, more: str) -> Path:
    """The notebook's file; one that is there already stays as it is, for a person may have written in it."""
    import nbformat

    path = found.beside(f"{name}.ipynb")
    if not path.exists():
        cells = [nbformat.v4.new_code_cell(text.format(path=found.path.name, more=more)) for text in _CELLS]
        kernel = {"name": "python3", "display_name": "Python 3"}
        book = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})
        path.write_text(json.dumps(book, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path
