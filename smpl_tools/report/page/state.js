// What the reader has chosen, and the clock; everybody who shows something of it listens.

export const SPEEDS = [0.1, 0.25, 0.5, 1, 2];

export class State {
  constructor(report, kept = {}) {
    this.report = report;
    this.values = {
      frame: 0,
      playing: false,
      speed: 1,
      loop: true,
      joint: report.shakiest(),
      layout: "side",
      figure: report.body ? "body" : "skeleton",
      colour: "take",
      map: report.measures()[0].id,
      follow: true,
      trail: false,
      hidden: [],
      range: [0, report.frames - 1],
      theme: null,
      ...kept,
    };
    this.listeners = [];
    this.time = this.values.frame;
  }

  get(name) {
    return this.values[name];
  }

  shown(key) {
    return !this.values.hidden.includes(key);
  }

  listen(names, call) {
    this.listeners.push({ names, call });
  }

  set(changes) {
    const changed = Object.keys(changes).filter((name) => this.values[name] !== changes[name]);
    if (!changed.length) return;
    Object.assign(this.values, changes);
    for (const { names, call } of this.listeners) if (names.some((name) => changed.includes(name))) call(changed);
  }

  toggle(name) {
    this.set({ [name]: !this.values[name] });
  }

  // At least one motion is always shown.
  toggleTake(key) {
    const hidden = this.shown(key) ? [...this.values.hidden, key] : this.values.hidden.filter((other) => other !== key);
    if (hidden.length < this.report.keys.length) this.set({ hidden });
  }

  go(frame) {
    const last = this.report.frames - 1;
    const reached = Math.min(last, Math.max(0, Math.round(frame)));
    this.time = reached;
    this.set({ frame: reached });
    this.#turnPage();
  }

  step(frames) {
    this.set({ playing: false });
    this.go(this.values.frame + frames);
  }

  play() {
    if (!this.values.playing && this.values.frame >= this.report.frames - 1) this.go(0);
    this.set({ playing: !this.values.playing });
  }

  // Go on by some seconds of real time.
  advance(seconds) {
    const count = this.report.frames;
    let time = this.time + seconds * this.report.fps * this.values.speed;
    let playing = true;
    if (time >= count) {
      playing = this.values.loop;
      time = playing ? time % count : count - 1;
    }
    this.time = time;
    this.set({ frame: Math.floor(time), playing });
    this.#turnPage();
  }

  zoom(factor) {
    const last = this.report.frames - 1;
    const [from, to] = this.values.range;
    const length = Math.min(last, Math.max(Math.min(last, 10), (to - from) * factor));
    const start = Math.min(last - length, Math.max(0, this.values.frame - length / 2));
    this.set({ range: [start, start + length] });
  }

  // A playing take that leaves the piece of time in view takes it along, a whole piece at a time.
  #turnPage() {
    const { frame, range } = this.values;
    const [from, to] = range;
    if (frame >= from - 0.5 && frame <= to + 0.5) return;
    const length = to - from;
    const start = Math.min(this.report.frames - 1 - length, Math.max(0, frame - 0.05 * length));
    this.set({ range: [start, start + length] });
  }
}
