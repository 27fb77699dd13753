// Lanes of marks under the heat map: spikes that were repaired, gaps, and when feet stand.

import { LABELS, cssColour, takeColour } from "report/colours";
import { element } from "report/elements";
import { pen } from "report/timeline";

const BAND = 5;
const GAP = 9;

export class Lanes {
  constructor(report, state, timeline, track) {
    Object.assign(this, { report, state, timeline, track });
    this.canvas = track.querySelector("canvas");
    this.canvas.style.marginLeft = "var(--gutter)";
    this.lanes = [];
    if (report.spikes.length) this.lanes.push({ kind: "spikes", label: "Spikes", height: 12 });
    if (report.gaps.length) this.lanes.push({ kind: "gaps", label: "Gaps", height: 10 });
    for (const side of ["left", "right"]) {
      const bands = report.contacts.filter((one) => one.side === side);
      const height = bands.length * (BAND + 1) - 1;
      if (bands.length) this.lanes.push({ kind: "feet", label: `${side === "left" ? "Left" : "Right"} foot`, bands, height });
    }
    let top = 4;
    for (const lane of this.lanes) {
      lane.top = top;
      const name = element("div", { className: "row-name", textContent: lane.label });
      name.style.top = `${top + lane.height / 2 - 8}px`;
      name.style.lineHeight = "16px";
      track.append(name);
      top += Math.max(lane.height, 11) + GAP;
    }
    this.height = Math.max(0, top - GAP + 4);
    track.hidden = !this.lanes.length;
    track.style.height = `${this.height}px`;
    const counted = [`${report.spikes.length} repaired spikes`, `${report.gaps.length} gaps`];
    this.canvas.ariaLabel = `Marks over time: ${counted.join(", ")}${report.contacts.length ? ", foot contacts" : ""}`;
    timeline.adopt(track, (frame, event, y) => {
      state.set({ playing: false });
      const lane = this.lanes.find((one) => y >= one.top - 4 && y < one.top + one.height + 5);
      const spike = lane?.kind === "spikes" ? this.#nearest(frame) : null;
      if (spike) state.set({ joint: spike[1] });
      state.go(spike ? spike[0] : frame);
    });
    state.listen(["range", "hidden", "joint", "theme"], () => this.draw());
  }

  // The spike that is pressed upon: within six pixels, that of the chosen joint first.
  #nearest(frame) {
    const [from, to] = this.state.get("range");
    const reach = (6 * (to - from + 1)) / this.timeline.width(this.track);
    const joint = this.state.get("joint");
    const near = this.report.spikes.filter(([at]) => Math.abs(at - frame) <= Math.max(1, reach));
    const far = (spike) => Math.abs(spike[0] - frame) - (spike[1] === joint ? reach : 0);
    return near.sort((a, b) => far(a) - far(b))[0] ?? null;
  }

  draw() {
    if (!this.lanes.length) return;
    const { report, state, timeline } = this;
    const width = timeline.width(this.track);
    const ink = pen(this.canvas, width, this.height);
    const joint = state.get("joint");
    const bar = (start, stop, top, height) => {
      const [a, b] = [start - 0.5, stop - 0.5].map((frame) => timeline.xOf(frame, width));
      if (b > 0 && a < width) ink.fillRect(a, top, Math.max(1.5, b - a), height);
    };
    for (const lane of this.lanes) {
      ink.fillStyle = cssColour("--lane");
      if (lane.kind === "spikes") ink.fillRect(0, lane.top + lane.height - 1, width, 1);
      if (lane.kind === "gaps") ink.fillRect(0, lane.top, width, lane.height);
      if (lane.kind === "spikes") {
        const strongest = Math.max(...report.spikes.map((spike) => spike[2]));
        for (const own of [false, true]) {
          ink.fillStyle = cssColour(own ? "--spike" : "--spike-other");
          for (const [frame, of, size] of report.spikes) {
            if ((of === joint) !== own) continue;
            const height = 4 + (lane.height - 4) * (size / strongest);
            ink.fillRect(timeline.xOf(frame, width) - 1, lane.top + lane.height - height, 2, height);
          }
        }
      } else if (lane.kind === "gaps") {
        for (const [start, stop, of, filled] of report.gaps) {
          ink.fillStyle = cssColour(filled ? "--accent" : "--missing-mark");
          if (of < 0 || of === joint) bar(start, stop, lane.top, lane.height);
          else bar(start, stop, lane.top + lane.height - 3, 3);
        }
      } else {
        lane.bands.forEach((band, index) => {
          const top = lane.top + index * (BAND + 1);
          ink.fillStyle = cssColour("--lane");
          ink.fillRect(0, top, width, BAND);
          if (!state.shown(band.take)) return;
          ink.fillStyle = takeColour(band.take);
          for (const [start, stop] of band.runs) bar(start, stop, top, BAND);
        });
      }
    }
    this.track.title = report.contacts.length ? `Feet on the ground: ${report.keys.map((key) => LABELS[key].toLowerCase()).join(", ")}` : "";
  }
}
