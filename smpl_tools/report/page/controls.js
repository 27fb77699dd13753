// Buttons, keys and the window that explains them.

import { gradient, isDark } from "report/colours";
import { choice, dressed, element, iconButton, number, segmented, toggle } from "report/elements";
import { SPEEDS } from "report/state";

const LAYOUTS = [
  { value: "side", text: "Side by side" },
  { value: "over", text: "Overlaid" },
  { value: "aligned", text: "Hips aligned" },
];

export function transport(report, state, footer) {
  const play = iconButton("play", "Play", "Space", () => state.play());
  play.classList.add("main");
  const shownPlay = () => dressed(play, state.get("playing") ? "pause" : "play", state.get("playing") ? "Pause" : "Play", "Space");
  state.listen(["playing"], shownPlay);
  const scrub = element("input", { type: "range", min: 0, max: report.frames - 1, step: 1, ariaLabel: "Frame", id: "scrub" });
  scrub.addEventListener("input", () => {
    state.set({ playing: false });
    state.go(Number(scrub.value));
  });
  const seconds = (frame) => {
    const time = report.seconds(frame);
    return `${Math.floor(time / 60)}:${(time % 60).toFixed(2).padStart(5, "0")}`;
  };
  const clock = element("output", { className: "clock", id: "clock" });
  const show = () => {
    const frame = state.get("frame");
    scrub.value = frame;
    scrub.style.setProperty("--done", `${(100 * frame) / Math.max(1, report.frames - 1)}%`);
    clock.replaceChildren(element("b", { textContent: seconds(frame) }), element("span", { textContent: " frame " }), String(report.number(frame)));
    scrub.ariaValueText = `frame ${report.number(frame)}, ${seconds(frame)}`;
  };
  state.listen(["frame"], show);
  show();
  const speeds = SPEEDS.map((speed) => ({ value: String(speed), text: `${speed}×` }));
  const speed = element("select", { ariaLabel: "Speed", title: "Speed (− and +)", id: "speed" });
  speed.append(...speeds.map(({ value, text }) => element("option", { value, textContent: text })));
  speed.addEventListener("change", () => {
    state.set({ speed: Number(speed.value) });
    speed.blur();
  });
  const shownSpeed = () => (speed.value = String(state.get("speed")));
  state.listen(["speed"], shownSpeed);
  shownSpeed();
  shownPlay();
  footer.append(
    element("div", { className: "buttons" },
      iconButton("back", "One frame back", "←", () => state.step(-1)),
      play,
      iconButton("forth", "One frame on", "→", () => state.step(1)),
    ),
    scrub,
    clock,
    speed,
    toggle(state, "loop", "loop", "Loop", "L"),
  );
}

export function colourChoices(report) {
  const kinds = new Set(report.measures().map((one) => one.id.split(".")[0]));
  const names = { jitter: "Jitter", change: "Change", error: "Error" };
  return [{ value: "take", text: "Motion" }, ...[...kinds].map((kind) => ({ value: kind, text: names[kind] }))];
}

export function stageBar(report, state, bar, player) {
  if (report.keys.length > 1) bar.append(segmented(state, "layout", "Layout", LAYOUTS));
  if (report.body) {
    bar.append(segmented(state, "figure", "Figure", [{ value: "skeleton", text: "Skeleton" }, { value: "body", text: "Body" }]));
  }
  bar.append(
    element("div", { className: "fill" }),
    element("label", { className: "field" }, "Colour ", choice(state, "colour", "Colour joints by", colourChoices(report))),
    element("div", { className: "buttons" },
      toggle(state, "trail", "trail", "Trail of the chosen joint", "T"),
      toggle(state, "follow", "follow", "Follow with the camera", "F"),
      iconButton("reset", "Camera as at first", "R", () => player.resetCamera()),
    ),
  );
}

export function stageLegend(report, state, legend) {
  const show = () => {
    const kind = state.get("colour");
    legend.hidden = kind === "take";
    if (legend.hidden) return;
    const measure = report.measures().find((one) => one.id.split(".")[0] === kind);
    const ramp = element("span", { className: "ramp" });
    ramp.style.background = gradient();
    const name = colourChoices(report).find((one) => one.value === kind).text;
    legend.replaceChildren(name, " 0", ramp, number(report.ceiling(measure.id) * measure.factor, measure.unit));
  };
  state.listen(["colour"], show);
  show();
}

export function zoomButtons(report, state, box) {
  const whole = element("button", { type: "button", className: "plain", textContent: "Whole take" });
  whole.title = "Show the whole take (0)";
  whole.addEventListener("click", () => state.set({ range: [0, report.frames - 1] }));
  box.append(
    iconButton("closer", "Enlarge time", "Z", () => state.zoom(0.5)),
    iconButton("wider", "Show more time", "X", () => state.zoom(2)),
    whole,
  );
}

export function themeButton(state, button) {
  dressed(button, "theme", "Light or dark", "D");
  const turn = () => state.set({ theme: isDark() ? "light" : "dark" });
  button.addEventListener("click", (event) => {
    turn();
    if (event.detail) button.blur();
  });
  return turn;
}

export function jointChoice(report, state, select) {
  report.joints.forEach((name, joint) => select.append(element("option", { value: joint, textContent: name })));
  select.addEventListener("change", () => {
    state.set({ joint: Number(select.value) });
    select.blur();
  });
  const show = () => (select.value = state.get("joint"));
  state.listen(["joint"], show);
  show();
}

const KEYS = [
  ["Space", "play, pause"],
  ["← →", "one frame back, on; with Shift ten"],
  ["Home End", "first, last frame"],
  ["− +", "slower, faster"],
  ["↑ ↓", "joint before, after"],
  ["N P", "next, previous repaired spike"],
  ["Z X 0", "less time, more time, whole take"],
  ["V", "side by side, overlaid, hips aligned"],
  ["C", "colour by motion, jitter, change, error"],
  ["M", "next heat map"],
  ["T F R", "trail, follow, camera as at first"],
  ["B", "skeleton or body"],
  ["1 2 3", "show, hide a motion"],
  ["L D ?", "loop, dark, this help"],
];

export function helpWindow(dialog, button) {
  dressed(button, "help", "Keys and mouse", "?");
  const list = element("dl", {});
  for (const [keys, what] of KEYS) {
    const shown = element("dt", {});
    for (const key of keys.split(" ")) shown.append(element("kbd", { textContent: key }));
    list.append(shown, element("dd", { textContent: what }));
  }
  const close = iconButton("close", "Close", "Esc", () => dialog.close());
  dialog.append(
    element("div", { className: "bar" }, element("h2", { id: "help-title", textContent: "Keys and mouse" }), element("div", { className: "fill" }), close),
    list,
    element("p", {
      className: "muted",
      textContent:
        "Turn with the mouse or a finger, move with the right button or two fingers, enlarge with the wheel. Press on a joint, or in " +
        "the heat map, to choose it; drag over the plots to enlarge a piece of time, press twice for the whole take.",
    }),
  );
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
  const open = () => (dialog.open ? dialog.close() : dialog.showModal());
  button.addEventListener("click", open);
  return open;
}

export function keyboard(report, state, { player, help, theme }) {
  const next = (name, values) => state.set({ [name]: values[(values.indexOf(state.get(name)) + 1) % values.length] });
  const last = report.frames - 1;
  const faster = (by) => {
    const place = SPEEDS.indexOf(state.get("speed")) + by;
    if (place >= 0 && place < SPEEDS.length) state.set({ speed: SPEEDS[place] });
  };
  const spike = (way) => {
    const frame = state.get("frame");
    const found = way > 0 ? report.spikes.find(([at]) => at > frame) : report.spikes.findLast(([at]) => at < frame);
    if (!found) return;
    state.set({ joint: found[1], playing: false });
    state.go(found[0]);
  };
  const joint = (by) => state.set({ joint: (state.get("joint") + by + report.joints.length) % report.joints.length });
  const actions = {
    " ": () => state.play(),
    arrowleft: (event) => state.step(event.shiftKey ? -10 : -1),
    arrowright: (event) => state.step(event.shiftKey ? 10 : 1),
    home: () => state.step(-last),
    end: () => state.step(last),
    arrowup: () => joint(-1),
    arrowdown: () => joint(1),
    "-": () => faster(-1),
    "+": () => faster(1),
    "=": () => faster(1),
    n: () => spike(1),
    p: () => spike(-1),
    z: () => state.zoom(0.5),
    x: () => state.zoom(2),
    0: () => state.set({ range: [0, last] }),
    v: () => report.keys.length > 1 && next("layout", LAYOUTS.map((one) => one.value)),
    c: () => next("colour", colourChoices(report).map((one) => one.value)),
    m: () => next("map", report.measures().map((one) => one.id)),
    b: () => report.body && next("figure", ["skeleton", "body"]),
    t: () => state.toggle("trail"),
    f: () => state.toggle("follow"),
    r: () => player?.resetCamera(),
    l: () => state.toggle("loop"),
    d: theme,
    "?": help,
  };
  report.keys.forEach((key, index) => (actions[index + 1] = () => state.toggleTake(key)));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target } = event;
    const key = event.key.toLowerCase();
    // Controls that have the focus keep the keys that are theirs.
    if (target.matches("select, input[type=radio]") && /^(arrow|home|end| )/.test(key)) return;
    if (target.matches("button") && key === " ") return;
    if (document.getElementById("help").open && key !== "?") return;
    const action = actions[key];
    if (!action) return;
    event.preventDefault();
    action(event);
  });
}
