// Where joints are drawn: the files' axes turned y up, in metres, feet on the ground. Where the unit is not known, or is
// pixels, a person is as tall as most people are.

const TALL = 1.6;
// Joints reach neither to the crown nor to the soles.
const BEYOND = 1.15;

export class Places {
  constructor(report) {
    this.report = report;
    this.scale = report.unit === "m" ? 1 : TALL / report.scene.height;
    this.tall = report.scene.height * this.scale * BEYOND;
    this.of = {};
    for (const key of report.keys) this.of[key] = this.#placed(report.positions(key));
    this.rootJoints = report.root.length ? report.root : [0];
    this.path = this.#path();
    this.spread = this.#spread();
  }

  #placed(x) {
    const { report, scale } = this;
    const { size, scene } = report;
    const turn = scene.turn;
    const count = x.length / size;
    const result = new Float32Array(count * 3);
    for (let i = 0; i < count; i++) {
      for (let row = 0; row < 3; row++) {
        let sum = 0;
        for (let d = 0; d < size; d++) sum += turn[row][d] * x[i * size + d];
        result[i * 3 + row] = (sum - (row === 1 ? scene.ground : 0)) * scale;
      }
    }
    return result;
  }

  // Write the root's place of a take into `into`; false where it was not observed.
  root(key, frame, into) {
    const x = this.of[key];
    const joints = this.report.joints.length;
    into[0] = into[1] = into[2] = 0;
    for (const j of this.rootJoints) {
      const at = (frame * joints + j) * 3;
      for (let d = 0; d < 3; d++) into[d] += x[at + d] / this.rootJoints.length;
    }
    return !Number.isNaN(into[0]);
  }

  // (T, 3): the middle of the joints of the last take, without its jitter and through gaps: what a camera follows.
  #path() {
    const { report } = this;
    const joints = report.joints.length;
    const x = this.of[report.keys[report.keys.length - 1]];
    const middle = new Float32Array(report.frames * 3);
    let last = [0, this.tall / 2, 0];
    let first = -1;
    for (let t = 0; t < report.frames; t++) {
      const sum = [0, 0, 0];
      let count = 0;
      for (let j = 0; j < joints; j++) {
        const at = (t * joints + j) * 3;
        if (Number.isNaN(x[at])) continue;
        count++;
        for (let d = 0; d < 3; d++) sum[d] += x[at + d];
      }
      if (count) last = sum.map((value) => value / count);
      if (count && first < 0) first = t;
      middle.set(last, t * 3);
    }
    for (let t = 0; t < first; t++) middle.copyWithin(t * 3, first * 3, first * 3 + 3);
    const reach = Math.max(1, Math.round(report.fps / 2));
    const result = new Float32Array(middle.length);
    for (let d = 0; d < 3; d++) {
      const sums = new Float64Array(report.frames + 1);
      for (let t = 0; t < report.frames; t++) sums[t + 1] = sums[t] + middle[t * 3 + d];
      for (let t = 0; t < report.frames; t++) {
        const [from, to] = [Math.max(0, t - reach), Math.min(report.frames, t + reach + 1)];
        result[t * 3 + d] = (sums[to] - sums[from]) / (to - from);
      }
    }
    return result;
  }

  // How wide a person is as seen from above: nine frames in ten are narrower.
  #spread() {
    const { report } = this;
    const joints = report.joints.length;
    const x = this.of[report.keys[report.keys.length - 1]];
    const widths = [];
    for (let t = 0; t < report.frames; t += Math.max(1, Math.floor(report.frames / 200))) {
      let farthest = 0;
      for (let j = 0; j < joints; j++) {
        const at = (t * joints + j) * 3;
        const away = Math.hypot(x[at] - this.path[t * 3], x[at + 2] - this.path[t * 3 + 2]);
        if (away > farthest) farthest = away;
      }
      widths.push(2 * farthest);
    }
    widths.sort((a, b) => a - b);
    return widths[Math.floor(0.9 * (widths.length - 1))] || 1;
  }
}
