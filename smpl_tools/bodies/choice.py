"""The body model for a person: the licence-free one, or one from the user's own files."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from smoothnet_core._checks import one_of
from smpl_tools.bodies.body_model import BodyModel
from smpl_tools.motion import Person

BODIES = ("free", "smpl", "smplh", "smplx")


def body_for(
    person: Person,
    name: str = "free",
    *,
    folder: Path | None = None,
    gender: str | None = None,
    stature: float | None = None,
) -> BodyModel:
    """Return the body model to pose as a person.

    Args:
        person: whose gender counts where none is given; neutral where the file states none either.
        name: one of ``BODIES``.
        folder: of model files, or a model file; see :func:`smpl_tools.bodies.model_files.find_model_file`.
        gender: ``neutral``, ``male`` or ``female``.
        stature: of the free body in metres.

    Raises:
        ValueError: an unknown name, or no such model file.
    """
    one_of("body", name, BODIES)
    chosen = gender or person.gender or "neutral"
    if name != "free":
        from smpl_tools.bodies.model_files import find_model_file, load_body_model

        return load_body_model(find_model_file(name, chosen, folder), gender=chosen)
    from smpl_tools.bodies.free_body import free_body, stature_to_betas

    model = free_body(gender=chosen)
    if stature is None:
        return model
    betas = stature_to_betas(model, stature)
    vertices = model.vertices + model.shape_vertices @ betas
    return dataclasses.replace(model, vertices=vertices, joint_places=model.joint_places + model.shape_joints @ betas)


def bodies_for(people: Iterable[Person], name: str = "free", **how: Any) -> dict[str, BodyModel]:
    """Return the body model of each person by id, each model made once however many people have it.

    Raises:
        ValueError: see :func:`body_for`, whose arguments ``how`` are.
    """
    made: dict[str | None, BodyModel] = {}
    found = {}
    for person in people:
        if person.gender not in made:
            made[person.gender] = body_for(person, name, **how)
        found[person.id] = made[person.gender]
    return found
