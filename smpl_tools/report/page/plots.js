// Plots of the chosen joint, of all takes, and the errors of every frame. They are drawn anew when what they show
// changes, never while a take plays: the cursor lies over them.

import { LABELS, cssColour, takeColour } from "report/colours";
import { decimated } from "report/data";

const ROW = 88;
const GAP = 30;
const TOP = 22;
const BOTTOM = 34;

export class Plots {
  constructor(report, state, timeline, track, plotly) {
    Object.assign(this, { report, state, timeline, track, plotly });
    this.div = track.querySelector("#plot");
    this.rows = this.#rows();
    this.height = TOP + this.rows.length * (ROW + GAP) - GAP + BOTTOM;
    this.div.style.height = `${this.height}px`;
    timeline.adopt(track, (frame) => {
      state.set({ playing: false });
      state.go(frame);
    });
    state.listen(["joint", "range", "hidden", "theme"], () => this.draw());
    this.draw();
    this.div.on("plotly_relayout", (change) => {
      const [from, to] = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
      const last = report.frames - 1;
      if (change["xaxis.autorange"]) state.set({ range: [0, last] });
      else if (from !== undefined && !this.drawing) {
        const [a, b] = [from, to].map((time) => Math.min(last, Math.max(0, time * report.fps)));
        if (b - a >= 2) state.set({ range: [a, b] });
        else this.draw();
      }
    });
  }

  // What is drawn, from the top: a name, a value of a take at a frame, and between which frames it lies.
  #rows() {
    const { report } = this;
    const { size, unit } = report;
    const joints = report.joints.length;
    const axes = size === 1 ? ["Value"] : ["x", "y", "z"].slice(0, size);
    const rows = axes.map((name, axis) => ({
      name: `${name}, ${unit}`,
      value: (key) => {
        const x = report.positions(key);
        return (t) => x[(t * joints + this.state.get("joint")) * size + axis];
      },
      offset: 0,
    }));
    [["Speed", "s"], ["Acceleration", "s²"]].forEach(([name, per], index) => {
      rows.push({
        name: `${size === 1 ? name.replace("Speed", "Rate of change") : name}, ${unit}/${per}`,
        value: (key) => {
          const rate = report.rate(key, index + 1);
          return (t) => rate[t * joints + this.state.get("joint")];
        },
        offset: index === 0 ? 0.5 : 0,
        fromZero: true,
      });
    });
    for (const [name, told] of Object.entries(report.errors)) {
      const label = name === "accel" ? "Accel" : size === 2 ? "Error" : "MPJPE";
      rows.push({
        name: `${label} of all joints, ${told}`,
        value: (key) => {
          const values = report.values[`${name}.${key}`];
          return values ? (t) => values[t] : null;
        },
        offset: 0,
        fromZero: true,
      });
    }
    return rows;
  }

  draw() {
    const { report, state, timeline, track } = this;
    const width = timeline.width(track);
    const [from, to] = state.get("range");
    const [first, last] = [Math.max(0, Math.floor(from) - 1), Math.min(report.frames, Math.ceil(to) + 2)];
    const buckets = Math.max(200, Math.round(width));
    const inner = this.height - TOP - BOTTOM;
    const ink = { size: 11, color: cssColour("--muted"), family: getComputedStyle(document.body).fontFamily };
    const line = cssColour("--line");
    const layout = {
      autosize: false,
      width: track.clientWidth,
      height: this.height,
      margin: { l: timeline.gutter, r: timeline.end, t: TOP, b: BOTTOM, pad: 0 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: ink,
      showlegend: false,
      hovermode: "x",
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      hoverlabel: { font: { ...ink, color: cssColour("--text") }, bgcolor: cssColour("--card"), bordercolor: line },
      xaxis: {
        range: [(from - 0.5) / report.fps, (to + 0.5) / report.fps],
        showgrid: true, gridcolor: line, zeroline: false, ticksuffix: " s", anchor: `y${this.rows.length > 1 ? this.rows.length : ""}`,
        showspikes: false, fixedrange: false,
      },
      annotations: [],
    };
    const traces = [];
    this.rows.forEach((row, index) => {
      const suffix = index ? String(index + 1) : "";
      const top = 1 - (index * (ROW + GAP)) / inner;
      layout[`yaxis${suffix}`] = {
        domain: [Math.max(0, top - ROW / inner), top],
        fixedrange: true, showgrid: true, gridcolor: line, zeroline: false, nticks: 4, rangemode: row.fromZero ? "tozero" : "normal",
        tickfont: { ...ink, size: 10 },
      };
      layout.annotations.push({
        text: row.name, xref: "paper", yref: "paper", x: 0, y: top, xanchor: "left", yanchor: "bottom", yshift: 2,
        showarrow: false, font: { ...ink, size: 11.5, color: cssColour("--text") },
      });
      for (const key of report.keys) {
        const value = state.shown(key) ? row.value(key) : null;
        const points = value ? decimated(value, first, last, buckets, row.offset) : { x: [], y: [] };
        traces.push({
          type: "scatter", mode: "lines", xaxis: "x", yaxis: `y${suffix}`,
          x: points.x.map((frame) => frame / report.fps), y: points.y,
          line: { color: takeColour(key), width: key === "before" ? 1 : 1.5 },
          hovertemplate: `%{y:.4~g}<extra>${LABELS[key]}</extra>`,
        });
      }
    });
    this.drawing = true;
    this.plotly.react(this.div, traces, layout, { displayModeBar: false, responsive: false, doubleClick: "autosize" });
    this.drawing = false;
    this.drawn = (this.drawn ?? 0) + 1;
  }
}
