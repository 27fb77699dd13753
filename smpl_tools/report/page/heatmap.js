// The heat map: a row for each joint, a column for each moment, the greatest value of the moment in it.

import { cssColour, gradient, valueColour } from "report/colours";
import { element, number } from "report/elements";
import { pen } from "report/timeline";

export class HeatMap {
  constructor(report, state, timeline, track, scale) {
    Object.assign(this, { report, state, timeline, track, scale });
    this.canvas = track.querySelector("canvas");
    this.canvas.style.marginLeft = "var(--gutter)";
    const joints = report.joints.length;
    this.row = Math.max(5, Math.min(15, Math.floor(330 / joints)));
    // Names that would lie upon each other are left out, evenly.
    const every = Math.ceil(11 / this.row);
    this.names = report.joints.map((name, joint) => {
      const shown = element("div", { className: "row-name", textContent: name, title: name });
      shown.style.top = `${joint * this.row}px`;
      shown.style.lineHeight = `${this.row}px`;
      shown.hidden = joint % every > 0;
      shown.ariaHidden = "true";
      return shown;
    });
    this.chosen = element("div", { className: "row-chosen" });
    this.tip = element("div", { className: "tip", hidden: true });
    track.append(...this.names, this.chosen, this.tip);
    track.style.height = `${joints * this.row}px`;
    timeline.adopt(track, (frame, event, y) => {
      const joint = Math.min(joints - 1, Math.max(0, Math.floor(y / this.row)));
      state.set({ joint, playing: false });
      if (event.clientX - track.getBoundingClientRect().left >= timeline.gutter) state.go(frame);
    });
    track.addEventListener("pointermove", (event) => this.#tell(event));
    track.addEventListener("pointerleave", () => (this.tip.hidden = true));
    state.listen(["map", "range", "theme"], () => this.draw());
    state.listen(["joint"], () => this.#choose());
    this.#choose();
  }

  measure() {
    return this.report.measures().find((one) => one.id === this.state.get("map"));
  }

  draw() {
    const { report, state, row } = this;
    const joints = report.joints.length;
    const width = this.timeline.width(this.track);
    const ink = pen(this.canvas, width, joints * row);
    const measure = this.measure();
    const values = report.measured(measure.id);
    const ceiling = report.ceiling(measure.id);
    const columns = Math.max(1, Math.round(width));
    const [from, to] = state.get("range");
    const step = (to - from + 1) / columns;
    const image = new ImageData(columns, joints);
    const rgb = [0, 0, 0];
    for (let c = 0; c < columns; c++) {
      const start = Math.max(0, Math.floor(from + c * step));
      const stop = Math.min(report.frames, Math.max(start + 1, Math.floor(from + (c + 1) * step)));
      for (let j = 0; j < joints; j++) {
        let highest = NaN;
        for (let t = start; t < stop; t++) {
          const value = values[t * joints + j];
          if (!(value <= highest)) highest = Number.isNaN(value) ? highest : value;
        }
        if (Number.isNaN(highest)) continue;
        valueColour(highest / ceiling, rgb);
        image.data.set([...rgb, 255], (j * columns + c) * 4);
      }
    }
    const small = element("canvas", { width: columns, height: joints });
    small.getContext("2d").putImageData(image, 0, 0);
    ink.imageSmoothingEnabled = false;
    ink.drawImage(small, 0, 0, width, joints * row);
    this.#marks(ink, width);
    this.canvas.ariaLabel = `${measure.label} of ${joints} joints over time, from 0 to ${number(ceiling * measure.factor, measure.unit)}`;
    const bar = element("span", { className: "ramp" });
    bar.style.background = gradient();
    const marked = report.spikes.length ? [element("span", { className: "spike-mark" }), `${report.spikes.length} repaired`] : [];
    this.scale.replaceChildren(element("span", { textContent: measure.label }), element("span", { textContent: "0" }), bar, number(ceiling * measure.factor, measure.unit), element("i"), ...marked);
  }

  #marks(ink, width) {
    const { report, row, timeline } = this;
    const [from, to] = this.state.get("range");
    ink.fillStyle = cssColour("--missing");
    for (const [start, stop, joint] of report.gaps) {
      const [a, b] = [start - 0.5, stop - 0.5].map((frame) => timeline.xOf(frame, width));
      ink.fillRect(a, joint < 0 ? 0 : joint * row, Math.max(1, b - a), joint < 0 ? report.joints.length * row : row);
    }
    ink.strokeStyle = cssColour("--spike");
    ink.lineWidth = 1.5;
    for (const [frame, joint] of report.spikes) {
      if (frame < from || frame > to) continue;
      ink.beginPath();
      ink.arc(timeline.xOf(frame, width), (joint + 0.5) * row, Math.min(4, row / 2 - 0.5), 0, 7);
      ink.stroke();
    }
  }

  #choose() {
    const joint = this.state.get("joint");
    this.chosen.style.top = `${joint * this.row}px`;
    this.chosen.style.height = `${this.row}px`;
    this.names.forEach((name, index) => name.classList.toggle("on", index === joint));
  }

  #tell(event) {
    const box = this.track.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const joint = Math.floor(y / this.row);
    this.tip.hidden = event.pointerType !== "mouse" || x < this.timeline.gutter || joint < 0 || joint >= this.report.joints.length;
    if (this.tip.hidden) return;
    const frame = Math.round(this.timeline.frameAt(x - this.timeline.gutter, this.timeline.width(this.track)));
    const measure = this.measure();
    const value = this.report.measured(measure.id)[frame * this.report.joints.length + joint];
    const spike = this.report.spikes.find(([at, of]) => of === joint && Math.abs(at - frame) < 1);
    this.tip.textContent = [
      `${this.report.joints[joint]}, frame ${this.report.number(frame)}`,
      `${measure.label.toLowerCase()} ${number(value * measure.factor, measure.unit)}`,
      ...(spike ? [`spike of ${number(spike[2], this.report.spike_unit)} repaired`] : []),
    ].join(" · ");
    const place = Math.min(box.width - this.tip.offsetWidth - 4, x + 12);
    this.tip.style.transform = `translate(${place}px, ${y - 34}px)`;
  }
}
