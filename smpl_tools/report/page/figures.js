// A skeleton that is drawn in two strokes: all joints at once and all bones at once.

import * as THREE from "three";
import { takeColour } from "report/colours";

const JOINT = 0.021;
const CHOSEN = 0.038;
const UP = new THREE.Vector3(0, 1, 0);
const NOTHING = new THREE.Matrix4().makeScale(0, 0, 0);

export class Figure {
  constructor(report, places, key) {
    this.report = report;
    this.key = key;
    this.x = places.of[key];
    this.group = new THREE.Group();
    this.offset = new THREE.Vector3();
    const material = () => new THREE.MeshLambertMaterial();
    this.joints = new THREE.InstancedMesh(new THREE.SphereGeometry(1, 8, 6), material(), report.joints.length);
    this.bones = new THREE.InstancedMesh(bone(), material(), Math.max(1, report.bones.length));
    this.bones.count = report.bones.length;
    for (const mesh of [this.joints, this.bones]) {
      mesh.frustumCulled = false;
      mesh.instanceMatrix.setUsage(THREE.DynamicDrawUsage);
      this.group.add(mesh);
    }
    this.matrix = new THREE.Matrix4();
    this.turn = new THREE.Quaternion();
    [this.a, this.b, this.way, this.size] = [0, 1, 2, 3].map(() => new THREE.Vector3());
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
    const { joints, bones, matrix, a, b, way, size, turn, report } = this;
    for (let j = 0; j < report.joints.length; j++) {
      if (!this.place(frame, j, a)) joints.setMatrixAt(j, NOTHING);
      else {
        const radius = j === chosen ? CHOSEN : JOINT;
        joints.setMatrixAt(j, matrix.makeScale(radius, radius, radius).setPosition(a));
      }
    }
    report.bones.forEach(([from, to], index) => {
      if (!this.place(frame, from, a) || !this.place(frame, to, b)) {
        bones.setMatrixAt(index, NOTHING);
        return;
      }
      way.subVectors(b, a);
      const length = way.length();
      turn.setFromUnitVectors(UP, way.multiplyScalar(1 / (length || 1)));
      bones.setMatrixAt(index, matrix.compose(a, turn, size.set(1, length, 1)));
    });
    joints.instanceMatrix.needsUpdate = bones.instanceMatrix.needsUpdate = true;
    this.#paint(colours);
  }

  #paint(colours) {
    const { joints, bones, colour, report } = this;
    const own = takeColour(this.key);
    if (!colours && this.painted === own) return;
    this.painted = colours ? null : own;
    colour.set(own);
    for (let j = 0; j < report.joints.length; j++) {
      if (colours) colours(j, colour);
      joints.setColorAt(j, colour);
    }
    report.bones.forEach(([, to], index) => {
      if (colours) colours(to, colour);
      bones.setColorAt(index, colour);
    });
    joints.instanceColor.needsUpdate = true;
    if (bones.instanceColor) bones.instanceColor.needsUpdate = true;
  }
}

// From its thick end at the origin one unit along y.
function bone() {
  const shape = new THREE.CylinderGeometry(0.010, 0.019, 1, 7, 1, true);
  shape.translate(0, 0.5, 0);
  return shape;
}

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
