// A skeleton that is drawn in one stroke. Its few vertices are placed here: to draw many copies of one shape, which is what
// graphics cards are good at, takes ten times as long where a processor stands in for the card.

import * as THREE from "three";
import { takeColour } from "report/colours";

const JOINT = 0.021;
const CHOSEN = 0.038;
const BALL = new THREE.SphereGeometry(1, 7, 5);
// From its thick end at the origin one unit along y.
const BONE = new THREE.CylinderGeometry(0.01, 0.019, 1, 6, 1, true).translate(0, 0.5, 0);

export class Figure {
  constructor(report, places, key) {
    this.report = report;
    this.key = key;
    this.x = places.of[key];
    this.offset = new THREE.Vector3();
    const parts = [...report.joints.map(() => BALL), ...report.bones.map(() => BONE)];
    this.starts = [];
    const indices = [];
    let count = 0;
    for (const part of parts) {
      this.starts.push(count);
      for (const corner of part.index.array) indices.push(count + corner);
      count += part.attributes.position.count;
    }
    this.shape = new THREE.BufferGeometry();
    this.shape.setIndex(indices);
    for (const name of ["position", "normal", "color"]) {
      const attribute = new THREE.BufferAttribute(new Float32Array(count * 3), 3).setUsage(THREE.DynamicDrawUsage);
      this.shape.setAttribute(name, attribute);
      this[name] = attribute;
    }
    // A ball is turned nowhere.
    report.joints.forEach((_, j) => this.normal.array.set(BALL.attributes.normal.array, this.starts[j] * 3));
    this.group = new THREE.Mesh(this.shape, new THREE.MeshLambertMaterial({ vertexColors: true }));
    this.group.frustumCulled = false;
    [this.a, this.b, this.way, this.side, this.third] = [0, 1, 2, 3, 4].map(() => new THREE.Vector3());
    this.colour = new THREE.Color();
  }

  // Where a joint is drawn; false where it was not observed.
  place(frame, joint, into) {
    const at = (frame * this.report.joints.length + joint) * 3;
    into.set(this.x[at], this.x[at + 1], this.x[at + 2]);
    if (Number.isNaN(into.x)) return false;
    into.add(this.offset);
    return true;
  }

  // `colours` gives a joint's colour, or is null for the take's own.
  update(frame, chosen, colours) {
    const { report, a, b } = this;
    for (let j = 0; j < report.joints.length; j++) {
      this.#ball(this.starts[j], this.place(frame, j, a) ? (j === chosen ? CHOSEN : JOINT) : 0);
    }
    report.bones.forEach(([from, to], index) => {
      const seen = this.place(frame, from, a) && this.place(frame, to, b);
      this.#bone(this.starts[report.joints.length + index], seen);
    });
    this.position.needsUpdate = this.normal.needsUpdate = true;
    this.#paint(colours);
  }

  // What was not observed shrinks to a point, of which nothing is drawn.
  #ball(start, radius) {
    const [unit, into, { x, y, z }] = [BALL.attributes.position.array, this.position.array, radius ? this.a : ORIGIN];
    for (let k = 0, at = start * 3; k < unit.length; k += 3, at += 3) {
      into[at] = x + radius * unit[k];
      into[at + 1] = y + radius * unit[k + 1];
      into[at + 2] = z + radius * unit[k + 2];
    }
  }

  #bone(start, seen) {
    const { a, b, way, side, third } = this;
    const [unit, bent] = [BONE.attributes.position.array, BONE.attributes.normal.array];
    const [into, normal] = [this.position.array, this.normal.array];
    if (!seen) {
      into.fill(0, start * 3, start * 3 + unit.length);
      return;
    }
    way.subVectors(b, a);
    const length = way.length() || 1e-9;
    way.multiplyScalar(1 / length);
    side.set(Math.abs(way.y) < 0.9 ? 0 : 1, Math.abs(way.y) < 0.9 ? 1 : 0, 0).cross(way).normalize();
    third.crossVectors(side, way);
    for (let k = 0, at = start * 3; k < unit.length; k += 3, at += 3) {
      const [x, y, z] = [unit[k], unit[k + 1] * length, unit[k + 2]];
      into[at] = a.x + side.x * x + way.x * y + third.x * z;
      into[at + 1] = a.y + side.y * x + way.y * y + third.y * z;
      into[at + 2] = a.z + side.z * x + way.z * y + third.z * z;
      normal[at] = side.x * bent[k] + way.x * bent[k + 1] + third.x * bent[k + 2];
      normal[at + 1] = side.y * bent[k] + way.y * bent[k + 1] + third.y * bent[k + 2];
      normal[at + 2] = side.z * bent[k] + way.z * bent[k + 1] + third.z * bent[k + 2];
    }
  }

  #paint(colours) {
    const { colour, report } = this;
    const own = takeColour(this.key);
    if (!colours && this.painted === own) return;
    this.painted = colours ? null : own;
    colour.set(own);
    const joints = report.joints.length;
    this.starts.forEach((start, part) => {
      if (colours) colours(part < joints ? part : report.bones[part - joints][1], colour);
      const stop = this.starts[part + 1] ?? this.color.count;
      for (let v = start; v < stop; v++) this.color.setXYZ(v, colour.r, colour.g, colour.b);
    });
    this.color.needsUpdate = true;
  }
}

const ORIGIN = new THREE.Vector3();

// The way of the chosen joint in the last second: points a frame apart, the older the fainter.
export class Trail {
  constructor(fps) {
    this.count = Math.max(2, Math.round(fps));
    const shape = new THREE.BufferGeometry();
    this.places = new THREE.BufferAttribute(new Float32Array(this.count * 3), 3).setUsage(THREE.DynamicDrawUsage);
    this.colours = new THREE.BufferAttribute(new Float32Array(this.count * 3), 3).setUsage(THREE.DynamicDrawUsage);
    shape.setAttribute("position", this.places);
    shape.setAttribute("color", this.colours);
    this.group = new THREE.Group();
    this.group.add(
      new THREE.Line(shape, new THREE.LineBasicMaterial({ vertexColors: true })),
      new THREE.Points(shape, new THREE.PointsMaterial({ vertexColors: true, size: 4, sizeAttenuation: false })),
    );
    for (const part of this.group.children) part.frustumCulled = false;
    this.shape = shape;
    [this.place, this.near, this.far] = [new THREE.Vector3(), new THREE.Color(), new THREE.Color()];
  }

  update(figure, frame, joint, colour, ground) {
    let drawn = 0;
    for (let back = Math.min(this.count - 1, frame); back >= 0; back--) {
      if (!figure.place(frame - back, joint, this.place)) continue;
      this.places.setXYZ(drawn, this.place.x, this.place.y, this.place.z);
      this.near.set(colour).lerp(this.far.set(ground), 0.85 * (back / this.count));
      this.colours.setXYZ(drawn, this.near.r, this.near.g, this.near.b);
      drawn++;
    }
    this.shape.setDrawRange(0, drawn);
    this.places.needsUpdate = this.colours.needsUpdate = true;
  }
}
