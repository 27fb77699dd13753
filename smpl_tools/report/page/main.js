// Puts the page together.

import { chips, metricsTable, notes } from "report/side";
import { helpWindow, jointChoice, keyboard, stageBar, stageLegend, themeButton, transport, zoomButtons } from "report/controls";
import { LABELS } from "report/colours";
import { choice, number } from "report/elements";
import { HeatMap } from "report/heatmap";
import { Lanes } from "report/lanes";
import { kept, watch } from "report/live";
import { Places } from "report/places";
import { Player } from "report/player";
import { Plots } from "report/plots";
import { Report } from "report/data";
import { State } from "report/state";
import { Timeline } from "report/timeline";

const find = (id) => document.getElementById(id);

export async function start({ data, live, plotly }) {
  const report = new Report(data);
  const before = live ? kept() : null;
  const state = new State(report, restored(report, before?.state));
  const theme = () => {
    const chosen = state.get("theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
    else delete document.documentElement.dataset.theme;
  };
  // First of all listeners: those after it read the colours.
  state.listen(["theme"], theme);
  theme();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    // Whoever has chosen none follows the system.
    if (!state.get("theme")) state.listeners.filter((one) => one.names.includes("theme")).forEach((one) => one.call(["theme"]));
  });

  const [seconds, rate] = [number(report.seconds(report.frames)), String(Math.round(report.fps * 100) / 100)];
  find("title").textContent = report.takes[0].file;
  find("subtitle").textContent = [
    ...(report.person === null ? [] : [`person ${report.person}`]),
    `${report.frames.toLocaleString("en")} frames`, `${seconds} s`, `${rate} fps`,
    `${report.joints.length} ${report.size === 1 ? "channels" : "joints"}`,
  ].join(" · ");
  find("takes").append(...chips(report, state));
  find("metrics").append(metricsTable(report, state));
  find("notes").append(...notes(report));

  const player = report.size === 1 ? null : makePlayer(report, state);
  if (report.size === 1) document.body.classList.add("plain");
  if (player) {
    stageBar(report, state, find("stage-bar"), player);
    stageLegend(report, state, find("legend"));
    readout(report, state);
    if (before?.view) player.restore(before.view);
  }
  transport(report, state, find("transport"));
  jointChoice(report, state, find("joint"));
  find("map-choice").append(choice(state, "map", "What the heat map shows", report.measures().map(({ id, label }) => ({ value: id, text: label }))));
  zoomButtons(report, state, find("zoom"));
  const help = helpWindow(find("help"), find("help-open"));
  keyboard(report, state, { player, help, theme: themeButton(state, find("theme")) });

  const timeline = new Timeline(report, state);
  const heatmap = new HeatMap(report, state, timeline, find("map"), find("map-scale"));
  const lanes = new Lanes(report, state, timeline, find("lanes"));
  const tracks = [heatmap, lanes];
  const again = () => {
    timeline.measure();
    for (const track of tracks) track.draw();
    timeline.moveCursors();
  };
  again();
  run(state, player);
  const api = { report, state, player, heatmap, ready: false };
  globalThis.smoothnetReport = api;
  await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  api.plots = new Plots(report, state, timeline, find("plots"), await plotly());
  tracks.push(api.plots);
  let width = find("plots").clientWidth;
  new ResizeObserver(() => {
    if (find("plots").clientWidth === width) return;
    width = find("plots").clientWidth;
    again();
  }).observe(find("plots"));
  if (live) watch(live, find("banner"), () => ({ state: { ...state.values, playing: false }, view: player?.view(), joints: report.joints }));
  api.ready = true;
}

// What was chosen before a reload, as far as the new data have it.
function restored(report, old) {
  if (!old) return {};
  const last = report.frames - 1;
  const valid = {
    frame: Math.min(old.frame, last),
    joint: Math.min(old.joint, report.joints.length - 1),
    hidden: old.hidden.filter((key) => report.has(key)),
    range: old.range[1] <= last ? old.range : [0, last],
  };
  if (valid.hidden.length === report.keys.length) valid.hidden = [];
  if (!report.measures().some((one) => one.id === old.map)) valid.map = report.measures()[0].id;
  if (!report.body) valid.figure = "skeleton";
  return { ...old, ...valid };
}

function makePlayer(report, state) {
  const stage = find("stage");
  find("view").ariaLabel = `Figures in motion: ${report.keys.map((key) => LABELS[key].toLowerCase()).join(", ")}`;
  try {
    return new Player(report, state, new Places(report), stage);
  } catch (error) {
    stage.classList.add("failed");
    find("readout").textContent = `No 3D here (${error.message}); the plots below work all the same.`;
    return null;
  }
}

function readout(report, state) {
  const joints = report.joints.length;
  const show = () => {
    const [frame, joint] = [state.get("frame"), state.get("joint")];
    const measure = report.measures().find((one) => one.id === state.get("map"));
    const value = report.measured(measure.id)[frame * joints + joint];
    find("readout").textContent = `${report.joints[joint]} · ${measure.label.toLowerCase()} ${number(value * measure.factor, measure.unit)}`;
  };
  state.listen(["frame", "joint", "map"], show);
  show();
}

function run(state, player) {
  let last = performance.now();
  const tick = (now) => {
    const seconds = Math.min(0.25, (now - last) / 1000);
    last = now;
    if (state.get("playing")) state.advance(seconds);
    player?.pace(seconds, state.get("playing"));
    player?.draw();
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}
