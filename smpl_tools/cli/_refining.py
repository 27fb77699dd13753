"""The options of refining, which the commands that refine share."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from smpl_tools.cli._shared import comma_list, fps_option, kind_option, one_name_of, order_option, share

METHODS = ("smoothnet", "repair", "one-euro", "savgol", "gaussian", "butterworth", "median", "kalman")
BACKENDS = ("auto", "numpy", "torch", "triton")
JUDGES = ("rotations", "joints")
PARTS = ("root", "body", "hands", "face", "shape", "camera")

MethodOption = Annotated[
    str, typer.Option(metavar="NAME", help=f"One of {', '.join(METHODS)}.", callback=one_name_of(METHODS))
]
ModelOption = Annotated[
    str | None,
    typer.Option(metavar="NAME|FILE", help="Shipped model or file of weights; for smoothnet only. Default: default."),
]
BackendOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help=f"{', '.join(BACKENDS)} (one CUDA GPU); for smoothnet only. Default: auto.",
        callback=one_name_of(BACKENDS),
    ),
]
JudgeOption = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What rotations are refined by: rotations, each by itself, or joints, where they place them.",
        callback=one_name_of(JUDGES),
    ),
]
StrengthOption = Annotated[float, typer.Option(help="From 0, which leaves the motion as it is, to 1.", callback=share)]
FpsOption = Annotated[float | None, fps_option("the file says")]
KindOption = Annotated[str | None, kind_option("a plain array holds")]
OrderOption = Annotated[str | None, order_option()]
PartsOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAMES", help=f"Comma-separated, of {', '.join(PARTS)}. Default: root,body."),
]
PersonOption = Annotated[list[str] | None, typer.Option(metavar="ID", help="Refine only this person; may be repeated.")]
KeepContactsOption = Annotated[
    bool, typer.Option("--keep-contacts", help="Keep feet that stand on the ground in place.")
]


def refining(
    method: str,
    model: str | None,
    backend: str | None,
    judge: str,
    strength: float,
    fps: float | None,
    kind: str | None,
    order: str | None,
    parts: list[str] | None,
    person: list[str] | None,
    keep_contacts: bool,
    here: bool = True,
) -> dict[str, Any]:
    """Return the keyword arguments of ``smpl_tools.refine_file.refine_file`` that the options ask for.

    Args:
        here: whether this machine is the one that refines.
        others: values of the options.

    Raises:
        typer.BadParameter: options that do not go together, an unknown part.
        ValueError: there is no such model, or this machine has no GPU for ``triton``.
        ImportError: what ``triton`` needs is not installed.
    """
    if method != "smoothnet" and (model is not None or backend is not None):
        raise typer.BadParameter(f"--model and --backend go with --method smoothnet, not with {method}")
    chosen = comma_list(parts) or ["root", "body"]
    for part in chosen:
        one_name_of(PARTS, "--parts")(part)
    settings: dict[str, Any] = {"method": method, "judge": judge, "strength": strength}
    settings |= {"fps": fps, "kind": kind, "order": order, "keep_contacts": keep_contacts}
    settings |= {"parts": chosen, "person": person or None}
    if method == "smoothnet":
        from smoothnet_core import load_model

        # Once for all inputs; and a model that is not there is no fault of theirs.
        weights = load_model(model or "default")
        settings |= {"model": weights, "backend": backend or "auto"}
        if here and backend == "triton":
            from smoothnet_core.inference.select import resolve_backend

            resolve_backend(backend, is_tensor=False, architecture=weights.architecture)
    return settings
