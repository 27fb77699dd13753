// A body in the place of a skeleton: one mesh, posed by the graphics card from the joints' turns.

import * as THREE from "three";
import { takeColour } from "report/colours";

// What all takes share.
export function bodyShape(report) {
  const { values, body } = report;
  const shape = new THREE.BufferGeometry();
  const count = values["body.vertices"].length / 3;
  shape.setAttribute("position", new THREE.BufferAttribute(values["body.vertices"], 3));
  shape.setIndex(new THREE.BufferAttribute(values["body.faces"], 1));
  shape.setAttribute("skinIndex", new THREE.BufferAttribute(values["body.joints"], body.influences));
  shape.setAttribute("skinWeight", new THREE.BufferAttribute(values["body.weights"], body.influences));
  shape.computeVertexNormals();
  return { shape, count };
}

export class BodyFigure {
  constructor(report, places, key, { shape, count }) {
    this.report = report;
    this.key = key;
    this.turns = report.values[`body.turns.${key}`];
    this.x = report.positions(key);
    this.offset = new THREE.Vector3();
    this.shape = new THREE.BufferGeometry().copy(shape);
    this.colours = new THREE.BufferAttribute(new Float32Array(count * 3).fill(1), 3).setUsage(THREE.DynamicDrawUsage);
    this.shape.setAttribute("color", this.colours);
    const rest = report.values["body.rest"];
    const parents = report.values["body.parents"];
    this.bones = [...parents].map((parent, j) => {
      const bone = new THREE.Bone();
      const at = (k) => (parent < 0 ? 0 : rest[parent * 3 + k]);
      bone.position.set(rest[j * 3] - at(0), rest[j * 3 + 1] - at(1), rest[j * 3 + 2] - at(2));
      return bone;
    });
    this.bones.forEach((bone, j) => parents[j] >= 0 && this.bones[parents[j]].add(bone));
    this.mesh = new THREE.SkinnedMesh(this.shape, new THREE.MeshLambertMaterial({ vertexColors: true }));
    this.mesh.frustumCulled = false;
    this.mesh.add(this.bones[0]);
    // A skeleton takes for its rest where its bones lie by then.
    this.bones[0].updateMatrixWorld(true);
    this.mesh.bind(new THREE.Skeleton(this.bones), new THREE.Matrix4());
    // From metres in the file's axes to what is drawn.
    const turn = report.scene.turn;
    const matrix = new THREE.Matrix4().set(...turn[0], 0, ...turn[1], -report.scene.ground, ...turn[2], 0, 0, 0, 0, 1);
    this.inner = new THREE.Group();
    this.inner.matrixAutoUpdate = false;
    this.inner.matrix.makeScale(places.scale, places.scale, places.scale).multiply(matrix);
    this.inner.add(this.mesh);
    this.group = new THREE.Group();
    this.group.add(this.inner);
    this.colour = new THREE.Color();
  }

  update(frame, chosen, colours) {
    const { bones, turns, x, report } = this;
    const count = bones.length;
    const start = frame * count * 4;
    const seen = turns[start] || turns[start + 1] || turns[start + 2] || turns[start + 3];
    const root = frame * report.joints.length * 3;
    this.mesh.visible = Boolean(seen) && !Number.isNaN(x[root]);
    if (!this.mesh.visible) return;
    bones[0].position.set(x[root], x[root + 1], x[root + 2]);
    for (let j = 0; j < count; j++) {
      const at = start + j * 4;
      bones[j].quaternion.set(turns[at + 1], turns[at + 2], turns[at + 3], turns[at]).normalize();
    }
    this.group.position.copy(this.offset);
    this.#paint(colours);
  }

  #paint(colours) {
    const own = takeColour(this.key);
    if (!colours && this.painted === own) return;
    this.painted = colours ? null : own;
    const { colour } = this;
    colour.set(own).lerp(new THREE.Color(1, 1, 1), 0.25);
    if (!colours) {
      for (let v = 0; v < this.colours.count; v++) this.colours.setXYZ(v, colour.r, colour.g, colour.b);
    } else {
      const palette = this.bones.map((_, j) => {
        if (j < this.report.joints.length) colours(j, colour);
        return [colour.r, colour.g, colour.b];
      });
      const { "body.joints": joints, "body.weights": weights } = this.report.values;
      for (let v = 0; v < this.colours.count; v++) {
        const mixed = [0, 0, 0];
        for (let k = 0; k < 4; k++) {
          const weight = weights[v * 4 + k];
          if (weight) for (let c = 0; c < 3; c++) mixed[c] += weight * palette[joints[v * 4 + k]][c];
        }
        this.colours.setXYZ(v, ...mixed);
      }
    }
    this.colours.needsUpdate = true;
  }
}
