// Where frames lie across the page: all tracks have the same gutter at the left, the same piece of time, and a cursor.

import { element } from "report/elements";

export class Timeline {
  constructor(report, state) {
    Object.assign(this, { report, state });
    this.cursors = [];
    this.measure();
    state.listen(["frame", "range"], () => this.moveCursors());
  }

  measure() {
    const style = getComputedStyle(document.documentElement);
    this.gutter = parseFloat(style.getPropertyValue("--gutter"));
    this.end = parseFloat(style.getPropertyValue("--end"));
    this.widths = new Map();
  }

  // Kept until the page is measured again: to ask while a take plays would lay out the page anew at every frame.
  width(track) {
    if (!this.widths.has(track)) this.widths.set(track, Math.max(10, track.clientWidth - this.gutter - this.end));
    return this.widths.get(track);
  }

  // Frames lie at the middles of their columns.
  xOf(frame, width) {
    const [from, to] = this.state.get("range");
    return ((frame - from + 0.5) / (to - from + 1)) * width;
  }

  frameAt(x, width) {
    const [from, to] = this.state.get("range");
    return Math.min(to, Math.max(from, from + (x / width) * (to - from + 1) - 0.5));
  }

  // A track gets a cursor, and whoever presses on it is told of: `call(frame, event, y)`. A drag is no press.
  adopt(track, call) {
    const cursor = element("div", { className: "cursor" });
    track.append(cursor);
    this.cursors.push({ cursor, track });
    track.addEventListener("pointerdown", (down) => {
      if (down.button) return;
      // Plotly lays a cover of its own over the page while the button is down, so the end is heard of at the window.
      const ended = (up) => {
        removeEventListener("pointerup", ended, true);
        removeEventListener("pointercancel", ended, true);
        if (up.type === "pointercancel" || Math.hypot(up.clientX - down.clientX, up.clientY - down.clientY) >= 6) return;
        const box = track.getBoundingClientRect();
        const x = up.clientX - box.left - this.gutter;
        call(this.frameAt(x, this.width(track)), up, up.clientY - box.top);
      };
      addEventListener("pointerup", ended, true);
      addEventListener("pointercancel", ended, true);
    }, true);
    this.moveCursors();
  }

  moveCursors() {
    const frame = this.state.get("frame");
    const [from, to] = this.state.get("range");
    const inside = frame >= from - 0.5 && frame <= to + 0.5;
    for (const { cursor, track } of this.cursors) {
      cursor.hidden = !inside;
      cursor.style.transform = `translateX(${(this.gutter + this.xOf(frame, this.width(track))).toFixed(1)}px)`;
    }
  }
}

// A canvas as sharp as the screen, and a pen that counts in CSS pixels.
export function pen(canvas, width, height) {
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const made = canvas.getContext("2d");
  made.setTransform(ratio, 0, 0, ratio, 0, 0);
  return made;
}
