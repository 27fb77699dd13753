// The table of metrics, the remarks, and the chips that show and hide motions.

import { LABELS, takeColour } from "report/colours";
import { element, number } from "report/elements";

export function metricsTable(report, state) {
  const head = element("tr", {}, element("th", { scope: "col", textContent: "" }));
  for (const key of report.keys) head.append(element("th", { scope: "col", textContent: LABELS[key] }));
  const compared = report.has("before") && report.has("after");
  if (compared) head.append(element("th", { scope: "col", textContent: "Change" }));
  const rows = report.metrics.map((metric) => {
    const label = element("th", { scope: "row" }, metric.label, " ", element("span", { className: "unit", textContent: metric.unit }));
    const row = element("tr", {}, label);
    for (const key of report.keys) {
      const cell = element("td", { textContent: key in metric.values ? number(metric.values[key]) : "" });
      const worst = metric.worst?.[key];
      if (worst !== null && worst !== undefined) cell.title = `worst 1 % of frames: ${number(worst, metric.unit)}`;
      row.append(cell);
    }
    if (compared) row.append(element("td", {}, change(metric)));
    if (metric.at) {
      const [frame, joint] = metric.at;
      const jump = element("button", { type: "button", className: "link", textContent: report.joints[joint] });
      jump.title = `go to frame ${report.number(frame)}`;
      jump.addEventListener("click", () => {
        state.set({ joint, playing: false });
        state.go(frame);
      });
      row.lastChild.append(jump);
    }
    return row;
  });
  return element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
}

// By how much a metric fell or rose, and whether that is good.
function change({ best, values }) {
  const { before, after } = values;
  if (best === null || !Number.isFinite(before) || !Number.isFinite(after) || before === null || after === null) return "";
  const [was, is] = best === 0 ? [before, after] : [Math.abs(before - best), Math.abs(after - best)];
  if (best !== 0) return element("span", { className: is <= was ? "better" : "worse", textContent: is <= was ? "nearer 1" : "farther" });
  if (!was) return "";
  const share = Math.round((is / was - 1) * 100);
  const text = share === 0 ? "0 %" : `${share > 0 ? "+" : "−"}${Math.abs(share)} %`;
  return element("span", { className: share < 0 ? "better" : share > 0 ? "worse" : "", textContent: text });
}

export function notes(report) {
  const texts = [...report.notes];
  if (report.spikes.length) texts.push(`${report.spikes.length} spikes of single joints were repaired (circles in the heat map)`);
  if (report.gaps.length) texts.push(`${report.gaps.length} gaps: joints that were not observed for some frames`);
  if (report.body?.licence) texts.push(report.body.licence);
  return texts.map((text) => element("li", { textContent: text[0].toUpperCase() + text.slice(1) }));
}

export function chips(report, state) {
  return report.takes.map(({ key, file }, index) => {
    const chip = element("button", { type: "button", className: "chip" });
    chip.append(element("i"), element("b", { textContent: LABELS[key] }), element("span", { textContent: file }));
    chip.title = report.keys.length > 1 ? `${file}: show or hide (${index + 1})` : file;
    chip.addEventListener("click", (event) => {
      state.toggleTake(key);
      if (event.detail) chip.blur();
    });
    const show = () => {
      chip.style.setProperty("--take", takeColour(key));
      chip.setAttribute("aria-pressed", String(state.shown(key)));
    };
    state.listen(["hidden", "theme"], show);
    show();
    return chip;
  });
}
