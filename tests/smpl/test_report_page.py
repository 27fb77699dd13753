"""The page of a report in Chromium: it plays, jumps, listens to keys, and says what the data say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from smpl_tools import formats
from smpl_tools.motion import Motion, Person, Track
from smpl_tools.report.data import report_data
from smpl_tools.report.packing import parted
from smpl_tools.report.pages import write_report
from tests.helpers import REPOSITORY
from tests.smpl.browser import chromium, opened, wait_for
from tests.smpl.cli_helpers import body

TAKES = REPOSITORY / "assets" / "takes"
EVIL = '</script><img src=x onerror="document.title=1"><b>bold</b>'


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def motions() -> tuple[Motion, Motion, Motion]:
    old, truth = (formats.read(TAKES / f"{name}.npz") for name in ("dance_smplh", "dance_smplh_truth"))
    person = old.people[0]
    pose = person.tracks["body_pose"]
    between = (pose.values + truth.people[0].tracks["body_pose"].values) / 2
    new = old.with_people((person.with_tracks({"body_pose": pose.replace(values=between)}),))
    return old, new, truth


@pytest.fixture(scope="module")
def report(motions: tuple[Motion, Motion, Motion], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, *motions)
    return path


@pytest.fixture
def page(browser: Any, report: Path) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="light")
    made, said, asked = opened(context, report.as_uri())
    yield made
    context.close()
    assert said == []
    assert asked == [report.as_uri()]


def state(page: Any, name: str) -> Any:
    return page.evaluate(f"smoothnetReport.state.get({name!r})")


def test_it_plays_pauses_and_steps(page: Any):
    assert (state(page, "frame"), state(page, "playing")) == (0, False)
    page.get_by_role("button", name="Play").click()
    wait_for(page, "smoothnetReport.state.get('frame') > 3")
    assert page.evaluate("smoothnetReport.player.drawn") > 2
    page.get_by_role("button", name="Pause").click()
    stopped = state(page, "frame")
    page.wait_for_timeout(150)
    assert state(page, "frame") == stopped
    page.get_by_role("button", name="One frame on").click()
    assert state(page, "frame") == stopped + 1


def test_playing_goes_with_time_slower_where_asked_and_draws_no_plot_anew(page: Any):
    drawn = page.evaluate("smoothnetReport.plots.drawn")
    page.evaluate("() => { const s = smoothnetReport.state; s.set({ speed: 0.5 }); s.advance(2); }")
    assert state(page, "frame") == 30
    page.evaluate("() => smoothnetReport.state.advance(20)")
    assert state(page, "frame") == (30 + 300) % 298
    page.evaluate("() => { const s = smoothnetReport.state; s.set({ loop: false, playing: true }); s.advance(20); }")
    assert (state(page, "frame"), state(page, "playing")) == (297, False)
    assert page.evaluate("smoothnetReport.plots.drawn") == drawn


def test_it_scrubs(page: Any):
    page.get_by_role("slider", name="Frame").fill("150")
    assert state(page, "frame") == 150
    assert page.locator("#clock").inner_text() == "0:05.00 frame 150"
    box = page.locator("#plots").bounding_box()
    line = page.locator("#plots .cursor").bounding_box()
    gutter, end = page.evaluate("[smoothnetReport.heatmap.timeline.gutter, smoothnetReport.heatmap.timeline.end]")
    expected = box["x"] + gutter + (box["width"] - gutter - end) * 150.5 / 298
    assert line["x"] + line["width"] / 2 == pytest.approx(expected, abs=1)


def test_a_press_on_the_heat_map_goes_to_that_frame_and_joint(page: Any):
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map-canvas").bounding_box()
    row = box["height"] / 24
    page.mouse.click(box["x"] + box["width"] * 200.5 / 298, box["y"] + 7.5 * row)
    assert (state(page, "frame"), state(page, "joint")) == (200, 7)
    assert page.locator("#joint").input_value() == "7"
    assert "left_ankle" in page.locator("#readout").inner_text()


def test_a_press_on_a_plot_goes_to_that_frame_and_a_drag_enlarges_time(page: Any):
    page.locator("#plots").scroll_into_view_if_needed()
    page.locator("#plot").evaluate("element => element.scrollIntoView()")
    box = page.locator("#plots").bounding_box()
    gutter, end = page.evaluate("[smoothnetReport.heatmap.timeline.gutter, smoothnetReport.heatmap.timeline.end]")
    left, width = box["x"] + gutter, box["width"] - gutter - end
    page.mouse.click(left + width * 100.5 / 298, box["y"] + 60)
    assert state(page, "frame") == 100
    page.mouse.move(left + width * 0.25, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(left + width * 0.5, box["y"] + 64, steps=5)
    page.mouse.up()
    wait_for(page, "smoothnetReport.state.get('range')[1] < 200")
    assert_allclose(state(page, "range"), [0.25 * 298, 0.5 * 298], atol=3)
    page.get_by_role("button", name="Whole take").click()
    assert state(page, "range") == [0, 297]


def test_keys(page: Any):
    keys = page.keyboard.press
    keys("ArrowRight")
    keys("Shift+ArrowRight")
    assert state(page, "frame") == 11
    keys("Home")
    assert state(page, "frame") == 0
    keys("End")
    assert state(page, "frame") == 297
    keys("-")
    assert state(page, "speed") == 0.5
    joint = state(page, "joint")
    keys("ArrowDown")
    assert state(page, "joint") == (joint + 1) % 24
    keys("v")
    keys("c")
    assert (state(page, "layout"), state(page, "colour")) == ("over", "jitter")
    keys("3")
    assert state(page, "hidden") == ["truth"]
    assert page.get_by_role("button", name="Truth").get_attribute("aria-pressed") == "false"
    keys("Home")
    spikes = page.evaluate("smoothnetReport.report.spikes")
    keys("n")
    first = next(spike for spike in spikes if spike[0] > 0)
    assert (state(page, "frame"), state(page, "joint")) == tuple(first[:2])
    keys(" ")
    assert state(page, "playing")
    keys(" ")
    keys("?")
    assert page.get_by_role("dialog").is_visible()
    keys("Escape")
    assert not page.get_by_role("dialog").is_visible()


def test_a_joint_is_chosen_by_pressing_on_it(page: Any):
    page.evaluate("() => smoothnetReport.state.set({ joint: 0 })")
    script = """() => { const { player, state } = smoothnetReport; const figure = player.figures[1];
        const place = player.camera.position.clone(); figure.place(state.get("frame"), 20, place);
        place.project(player.camera); const box = player.canvas.getBoundingClientRect();
        return [box.x + (place.x + 1) / 2 * box.width, box.y + (1 - place.y) / 2 * box.height]; }"""
    page.mouse.click(*page.evaluate(script))
    # The hand lies behind the wrist.
    assert state(page, "joint") in (20, 22)


def test_its_speeds_accelerations_changes_and_errors_are_those_of_the_data(page: Any, motions: tuple[Any, ...]):
    document, arrays = parted(report_data(*motions))
    x = {key: arrays[f"positions.{key}"].astype(np.float64) for key in ("before", "after", "truth")}

    def of_page(call: str) -> np.ndarray:
        return np.array(page.evaluate(f"[...smoothnetReport.report.{call}]"), np.float64).reshape(298, 24)

    speed = np.linalg.norm(np.diff(x["after"], axis=0), axis=-1) * 30
    assert_allclose(of_page("rate('after', 1)")[:-1], speed, rtol=1e-3, atol=1e-4)
    jitter = np.linalg.norm(np.diff(x["before"], 2, axis=0), axis=-1) * 900
    assert_allclose(of_page("rate('before', 2)")[1:-1], jitter, rtol=1e-3, atol=1e-2)
    assert_allclose(of_page("change()"), np.linalg.norm(x["before"] - x["after"], axis=-1), atol=1e-6)
    rooted = {key: values - values[:, document["root"]].mean(1, keepdims=True) for key, values in x.items()}
    error = np.linalg.norm(rooted["after"] - rooted["truth"], axis=-1)
    assert_allclose(of_page("error('after')"), error, atol=1e-6)
    assert_allclose(1000 * error.mean(1), arrays["error.after"], rtol=1e-4)


def test_plots_have_every_peak_of_long_takes(page: Any):
    script = """async () => { const { decimated } = await import("report/data");
        const y = Array.from({ length: 9000 }, (_, t) => Math.sin(t / 50)); y[4321] = 9; y[77] = -8; y[5000] = NaN;
        const p = decimated(t => y[t], 0, 9000, 300); return [p.x, p.y.map(v => v ?? -99)]; }"""
    x, y = page.evaluate(script)
    points = dict(zip(x, y, strict=True))
    assert len(x) <= 600
    assert (points[4321], points[77]) == (9, -8)
    assert x == sorted(x)


def test_dark_and_light(browser: Any, report: Path):
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="dark")
    page, said, _ = opened(context, report.as_uri())
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    light = page.evaluate(ground)
    assert sum(map(int, dark[4:-1].split(","))) < 150 < 600 < sum(map(int, light[4:-1].split(",")))
    page.keyboard.press("d")
    assert page.evaluate(ground) == dark
    assert said == []
    context.close()


def test_on_a_phone_nothing_is_wider_than_the_screen(browser: Any, report: Path):
    context = browser.new_context(viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True)
    page, said, _ = opened(context, report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    box = page.locator("#map-canvas").bounding_box()
    page.locator("#map").scroll_into_view_if_needed()
    box = page.locator("#map-canvas").bounding_box()
    page.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + 3.5 * box["height"] / 24)
    assert state(page, "joint") == 3
    assert state(page, "frame") == pytest.approx(149, abs=2)
    assert said == []
    context.close()


def test_controls_have_names(page: Any):
    nameless = """[...document.querySelectorAll("button, select, input, canvas[role]")].filter(
        e => !(e.ariaLabel || e.getAttribute("aria-label") || e.labels?.[0]?.textContent.trim()
            || e.textContent.trim()))
        .map(e => e.outerHTML)"""
    assert page.evaluate(nameless) == []


@pytest.mark.parametrize("kind", ["body", "flat", "channels", "one"])
def test_other_contents_are_shown_too(browser: Any, tmp_path: Path, motions: tuple[Any, ...], kind: str):
    path = tmp_path / "report.html"
    names = (EVIL, "left_hip", "right_hip", "x")
    if kind == "body":
        write_report(path, *motions, body=True)
    elif kind == "one":
        write_report(path, motions[0])
    else:
        values = body(50, size=2) * 300 if kind == "flat" else body(50)[..., 0]
        values[10:13, 1] = np.nan
        track = Track(values, "position" if kind == "flat" else "channels", "body", names)
        one = Motion("array", (Person(EVIL, {"a": track}, np.arange(50)),), None, path=Path(EVIL.replace("/", "∕")))
        write_report(path, one, one)
    context = browser.new_context(viewport={"width": 1000, "height": 700})
    page, said, asked = opened(context, path.as_uri())
    page.keyboard.press("c")
    page.keyboard.press("t")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(100)
    assert state(page, "frame") == 10
    if kind != "channels":
        assert page.evaluate("smoothnetReport.player.drawn") > 0
    if kind in ("flat", "channels"):
        assert page.locator("img, main b").count() == 0
        assert page.locator("#joint option").first.text_content() == EVIL
    assert (said, asked) == ([], [path.as_uri()])
    context.close()
