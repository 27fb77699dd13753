// The report's document and arrays, and what follows from them: speeds, accelerations, changes and errors of joints.

const TYPES = { f4: Float32Array, i2: Int16Array, u2: Uint16Array, u4: Uint32Array, u1: Uint8Array };

export function parted(buffer) {
  const end = 4 + new DataView(buffer).getUint32(0, true);
  const document = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, end - 4)));
  const arrays = {};
  for (const [name, place] of Object.entries(document.arrays)) {
    const count = place.shape.reduce((product, size) => product * size, 1);
    arrays[name] = new TYPES[place.type](buffer, end + place.start, count);
  }
  return { document, arrays };
}

export class Report {
  constructor(buffer) {
    const { document, arrays } = parted(buffer);
    Object.assign(this, document);
    this.values = arrays;
    this.keys = this.takes.map((take) => take.key);
    this.made = new Map();
  }

  has(key) {
    return this.keys.includes(key);
  }

  positions(key) {
    return this.values[`positions.${key}`];
  }

  // Frame numbers and times as the file counts them.
  number(frame) {
    return this.first + frame;
  }

  seconds(frame) {
    return frame / this.fps;
  }

  #once(name, make) {
    if (!this.made.has(name)) this.made.set(name, make());
    return this.made.get(name);
  }

  // (T, J): the length of differences of that order, in units per second to that power. Those of order 1 stand at the
  // first of their two frames, those of order 2 at the middle one of three; NaN where there is none.
  rate(key, order) {
    return this.#once(`rate.${key}.${order}`, () => {
      const { frames, size } = this;
      const joints = this.joints.length;
      const x = this.positions(key);
      const row = joints * size;
      const result = new Float32Array(frames * joints).fill(NaN);
      const scale = this.fps ** order;
      for (let t = order - 1; t < frames - 1; t++) {
        for (let j = 0; j < joints; j++) {
          let sum = 0;
          for (let d = 0; d < size; d++) {
            const at = t * row + j * size + d;
            const step = order === 1 ? x[at + row] - x[at] : x[at + row] - 2 * x[at] + x[at - row];
            sum += step * step;
          }
          result[t * joints + j] = Math.sqrt(sum) * scale;
        }
      }
      return result;
    });
  }

  // (T, J): how far the refinement moved each joint.
  change() {
    return this.#once("change", () => this.#apart("before", "after", false));
  }

  // (T, J): how far each joint is from the truth, both relative to the root where there is one.
  error(key) {
    return this.#once(`error.${key}`, () => this.#apart(key, "truth", true));
  }

  #apart(one, other, rooted) {
    const { frames, size } = this;
    const joints = this.joints.length;
    const [a, b] = [this.positions(one), this.positions(other)];
    const result = new Float32Array(frames * joints);
    const shift = new Float64Array(size);
    for (let t = 0; t < frames; t++) {
      shift.fill(0);
      if (rooted) {
        for (const j of this.root) {
          for (let d = 0; d < size; d++) {
            const at = (t * joints + j) * size + d;
            shift[d] += (a[at] - b[at]) / this.root.length;
          }
        }
      }
      for (let j = 0; j < joints; j++) {
        let sum = 0;
        for (let d = 0; d < size; d++) {
          const at = (t * joints + j) * size + d;
          sum += (a[at] - b[at] - shift[d]) ** 2;
        }
        result[t * joints + j] = Math.sqrt(sum);
      }
    }
    return result;
  }

  // The joint that jitters most in the first motion.
  shakiest() {
    const values = this.rate(this.keys[0], 2);
    const joints = this.joints.length;
    const sums = this.joints.map(() => [0, 0]);
    values.forEach((value, index) => {
      if (Number.isNaN(value)) return;
      sums[index % joints][0] += value;
      sums[index % joints][1]++;
    });
    const means = sums.map(([sum, count]) => (count ? sum / count : -1));
    return means.indexOf(Math.max(...means));
  }

  // What a heat map and a colour can show: name, values (T, J) and unit; `like` shares its scale.
  measures() {
    return this.#once("measures", () => {
      const found = [];
      const [length, factor] = this.unit === "m" ? ["mm", 1000] : [this.unit, 1];
      const shaking = `${this.unit}/s²`;
      if (this.keys.length === 1) found.push({ id: "jitter", label: "Jitter", take: "take", unit: shaking, factor: 1 });
      for (const key of this.keys.filter((key) => key === "before" || key === "after")) {
        found.push({ id: `jitter.${key}`, label: `Jitter ${key}`, take: key, unit: shaking, factor: 1 });
      }
      if (this.has("before") && this.has("after")) found.push({ id: "change", label: "Change", unit: length, factor });
      if (this.has("truth") && this.size > 1) {
        for (const key of this.keys.filter((key) => key !== "truth")) {
          found.push({ id: `error.${key}`, label: `Error ${key}`, take: key, unit: length, factor });
        }
      }
      return found;
    });
  }

  measured(id) {
    const [kind, key] = id.split(".");
    if (kind === "change") return this.change();
    return kind === "error" ? this.error(key) : this.rate(key ?? "take", 2);
  }

  // Where a measure's colours end: hardly anything is above, and before and after end at the same.
  ceiling(id) {
    const [kind] = id.split(".");
    return this.#once(`ceiling.${kind}`, () => {
      const ids = this.measures().filter((one) => one.id.split(".")[0] === kind).map((one) => one.id);
      const highest = Math.max(...ids.map((one) => quantile(this.measured(one), 0.995)));
      return highest > 0 ? rounded(highest) : 1;
    });
  }
}

function quantile(values, share) {
  const known = values.filter((value) => !Number.isNaN(value)).sort();
  return known.length ? known[Math.min(known.length - 1, Math.floor(share * known.length))] : 0;
}

// One significant digit and a half, so that a scale ends at a number that can be read.
function rounded(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const steps = [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10];
  return power * steps.find((step) => step * power >= value * 0.999);
}

// At most two points for each of so many buckets of frames, the least and the greatest in their order: peaks stay.
// `offset` is added to the frames' numbers; a bucket without a value breaks the line.
export function decimated(value, from, to, buckets, offset = 0) {
  const [x, y] = [[], []];
  const count = to - from;
  const step = count > 2 * buckets ? count / buckets : 1;
  for (let b = 0; b * step < count; b++) {
    const [start, stop] = [from + Math.floor(b * step), Math.min(to, from + Math.max(Math.floor((b + 1) * step), Math.floor(b * step) + 1))];
    let [low, high] = [-1, -1];
    for (let t = start; t < stop; t++) {
      const here = value(t);
      if (Number.isNaN(here)) continue;
      if (low < 0 || here < value(low)) low = t;
      if (high < 0 || here > value(high)) high = t;
    }
    if (low < 0) {
      x.push(start + offset);
      y.push(null);
      continue;
    }
    for (const t of low === high ? [low] : [Math.min(low, high), Math.max(low, high)]) {
      x.push(t + offset);
      y.push(value(t));
    }
  }
  return { x, y };
}
