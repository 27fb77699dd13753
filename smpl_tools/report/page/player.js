// The player: figures in a scene, a camera that is turned by hand and follows, and the loop that draws them.

import * as THREE from "three";
import { OrbitControls } from "three/addons/controls/OrbitControls.js";
import { BodyFigure, bodyShape } from "report/body";
import { LABELS, cssColour, takeColour, valueColour } from "report/colours";
import { element } from "report/elements";
import { Figure, Trail } from "report/figures";

const FIELD = 30;
// Seconds that a frame may take, how many may take longer, and the least share of the screen's pixels along a side.
const [SLOWEST, PATIENCE, COARSEST] = [0.031, 6, 0.45];

export class Player {
  constructor(report, state, places, stage) {
    Object.assign(this, { report, state, places, stage });
    this.canvas = stage.querySelector("canvas");
    // A processor takes thrice as long for smooth edges: there a take that rests is drawn larger instead.
    const card = hasCard();
    this.resting = card ? 1 : 2;
    this.renderer = new THREE.WebGLRenderer({ canvas: this.canvas, antialias: card });
    this.scene = new THREE.Scene();
    this.camera = new THREE.PerspectiveCamera(FIELD, 1, 0.05, 200);
    this.controls = new OrbitControls(this.camera, this.canvas);
    this.controls.addEventListener("change", () => (this.dirty = true));
    this.flat = report.size === 2;
    if (this.flat) this.#flatten();
    this.scene.add(new THREE.HemisphereLight(0xffffff, 0x9a9a9a, 2.4));
    this.sun = new THREE.DirectionalLight(0xffffff, 1.5);
    this.scene.add(this.sun);
    this.figures = report.keys.map((key) => new Figure(report, places, key));
    this.bodies = [];
    if (report.body) {
      const shared = bodyShape(report);
      this.bodies = report.keys.map((key) => new BodyFigure(report, places, key, shared));
    }
    this.trails = report.keys.map(() => new Trail(report.fps));
    this.shadows = report.keys.map(() => shadow());
    for (const one of [...this.figures, ...this.bodies, ...this.trails]) this.scene.add(one.group);
    if (!this.flat) this.scene.add(...this.shadows);
    this.tags = report.keys.map((key) => element("span", { className: "tag", textContent: LABELS[key] }));
    stage.querySelector("#tags").append(...this.tags);
    this.followed = new THREE.Vector3();
    this.scratch = new THREE.Vector3();
    this.drawn = this.late = 0;
    this.sharpness = 1;
    this.repaint();
    this.resetCamera();
    new ResizeObserver(() => this.#resize()).observe(stage);
    state.listen(["frame", "joint", "colour", "figure", "trail", "layout", "hidden"], () => (this.dirty = true));
    state.listen(["layout", "hidden"], () => this.#arrange());
    state.listen(["theme"], () => this.repaint());
    state.listen(["follow"], () => this.#follow(true));
    this.#picking();
  }

  // An image has no depth: it is moved and enlarged, not turned.
  #flatten() {
    this.controls.enableRotate = false;
    this.controls.mouseButtons.LEFT = THREE.MOUSE.PAN;
    this.controls.touches.ONE = THREE.TOUCH.PAN;
  }

  repaint() {
    const ground = cssColour("--card");
    this.ink = { ground, grey: cssColour("--muted") };
    this.scene.background = new THREE.Color(ground);
    if (!this.flat) {
      this.scene.fog = new THREE.Fog(ground, 5, 15);
      if (!this.floor) this.scene.add((this.floor = grid()));
      this.floor.material.color.set(cssColour("--grid"));
    }
    this.tags.forEach((tag, index) => tag.style.setProperty("--take", takeColour(this.report.keys[index])));
    for (const figure of [...this.figures, ...this.bodies]) figure.painted = null;
    this.dirty = true;
  }

  // Side by side is across the first view, so that nobody stands behind another.
  #arrange() {
    const { report, state, places } = this;
    const shown = report.keys.filter((key) => state.shown(key));
    const widest = this.camera.aspect < 1.2 ? 1.0 : 2.2;
    const apart = state.get("layout") === "side" ? Math.max(0.8, Math.min(widest, places.spread * 0.9)) : 0;
    const [x, z] = [Math.cos(this.azimuth), -Math.sin(this.azimuth)];
    report.keys.forEach((key, index) => {
      const place = (shown.indexOf(key) - (shown.length - 1) / 2) * apart;
      for (const figure of [this.figures[index], this.bodies[index]]) if (figure) figure.lane = [x * place, z * place];
    });
    this.width = apart * shown.length || places.spread;
    this.dirty = true;
  }

  resetCamera() {
    const facing = this.report.scene.facing;
    // A little from the side: depth is seen, and jitter along the view too.
    this.azimuth = this.flat ? 0 : (facing ?? 0) + 0.35;
    this.#arrange();
    const { path } = this.places;
    const start = this.state.get("frame") * 3;
    const target = new THREE.Vector3(path[start], this.flat ? path[start + 1] : 0.5 * this.places.tall, path[start + 2]);
    const aspect = this.camera.aspect;
    const half = Math.tan((FIELD * Math.PI) / 360);
    const distance = Math.max((0.62 * this.places.tall) / half, (0.52 * (this.width + 0.2)) / (half * aspect));
    const height = this.flat ? 0 : 0.16;
    const way = new THREE.Vector3(
      Math.sin(this.azimuth) * Math.cos(height), Math.sin(height), Math.cos(this.azimuth) * Math.cos(height),
    );
    this.controls.target.copy(target);
    this.camera.position.copy(target).addScaledVector(way, distance);
    this.followed.fromArray(path, start);
    this.controls.update();
    this.dirty = true;
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    // Kept, since to ask for it while a take plays would lay out the page anew at every frame.
    this.extent = [width, height];
    const first = !this.sized;
    this.sized = true;
    this.#sharpen(this.resting);
    this.camera.aspect = width / height;
    this.camera.updateProjectionMatrix();
    if (first && !this.restored) this.resetCamera();
    this.dirty = true;
  }

  #sharpen(share) {
    this.sharpness = share;
    this.renderer.setPixelRatio(Math.min(2, devicePixelRatio * share));
    this.renderer.setSize(...this.extent, false);
    this.dirty = true;
  }

  // Where frames take longer than they may, a playing take is drawn with fewer pixels, and with all again once it rests.
  pace(seconds, playing) {
    if (!this.sized) return;
    if (!playing) {
      this.late = 0;
      if (this.sharpness !== this.resting) this.#sharpen(this.resting);
      return;
    }
    if (this.sharpness > 1) this.#sharpen(1);
    this.late = seconds > SLOWEST ? this.late + 1 : Math.max(0, this.late - 0.5);
    if (this.late < PATIENCE || this.sharpness <= COARSEST) return;
    this.late = 0;
    this.#sharpen(this.sharpness * 0.75);
  }

  // The camera goes where the person goes, and keeps how it looks at them.
  #follow(jump = false) {
    const { path } = this.places;
    const now = this.scratch.fromArray(path, this.state.get("frame") * 3);
    if (this.state.get("follow")) {
      const [x, z] = [now.x - this.followed.x, now.z - this.followed.z];
      const y = this.flat ? now.y - this.followed.y : 0;
      if (!jump) {
        this.controls.target.add(now.clone().set(x, y, z));
        this.camera.position.add(now.clone().set(x, y, z));
      }
    }
    this.followed.copy(now);
  }

  draw() {
    if (!this.dirty || !this.sized) return;
    this.dirty = false;
    const { report, state, places } = this;
    const frame = state.get("frame");
    this.#follow();
    this.controls.update();
    const aligned = state.get("layout") === "aligned";
    const [own, first] = [[0, 0, 0], [0, 0, 0]];
    const lead = report.keys.find((key) => state.shown(key));
    const known = aligned && places.root(lead, frame, first);
    const body = state.get("figure") === "body";
    report.keys.forEach((key, index) => {
      const shown = state.shown(key);
      const figure = this.figures[index];
      const solid = this.bodies[index];
      figure.offset.set(figure.lane[0], 0, figure.lane[1]);
      if (known && places.root(key, frame, own)) {
        figure.offset.add(this.scratch.set(first[0] - own[0], first[1] - own[1], first[2] - own[2]));
      }
      figure.group.visible = shown && !body;
      if (solid) solid.group.visible = shown && body;
      const colours = this.#colours(key, frame);
      if (figure.group.visible) figure.update(frame, state.get("joint"), colours);
      if (solid?.group.visible) {
        solid.offset.copy(figure.offset);
        solid.update(frame, state.get("joint"), colours);
      }
      const trail = this.trails[index];
      trail.group.visible = shown && state.get("trail");
      if (trail.group.visible) trail.update(figure, frame, state.get("joint"), takeColour(key), this.ink.ground);
      const under = this.shadows[index];
      under.visible = shown && places.root(key, frame, own);
      under.position.set(own[0] + figure.offset.x, 0.003, own[2] + figure.offset.z);
      this.#tag(index, figure, shown);
    });
    // It goes along unseen, a square at a time.
    this.floor?.position.set(Math.round(this.controls.target.x), 0, Math.round(this.controls.target.z));
    this.sun.position.copy(this.camera.position).add(this.scratch.set(1, 4, 1));
    this.sun.target.position.copy(this.controls.target);
    this.sun.target.updateMatrixWorld();
    this.renderer.render(this.scene, this.camera);
    this.drawn++;
  }

  // What colours joints by a measure, null for the takes' own colours.
  #colours(key, frame) {
    const kind = this.state.get("colour");
    if (kind === "take") return null;
    const ids = this.report.measures().map((one) => one.id);
    const wanted = kind === "jitter" && key === "take" ? "jitter" : kind === "change" ? kind : `${kind}.${key}`;
    const values = ids.includes(wanted) && !(kind === "change" && key === "truth") ? this.report.measured(wanted) : null;
    const ceiling = values ? this.report.ceiling(wanted) : 1;
    const { grey } = this.ink;
    const rgb = [0, 0, 0];
    const joints = this.report.joints.length;
    return (joint, colour) => {
      const value = values ? values[frame * joints + joint] : NaN;
      if (Number.isNaN(value)) return colour.set(grey);
      valueColour(value / ceiling, rgb);
      return colour.setRGB(rgb[0] / 255, rgb[1] / 255, rgb[2] / 255, THREE.SRGBColorSpace);
    };
  }

  #tag(index, figure, shown) {
    const tag = this.tags[index];
    tag.hidden = !shown || this.state.get("layout") !== "side" || this.report.keys.length === 1;
    if (tag.hidden) return;
    const { path } = this.places;
    const at = this.state.get("frame") * 3;
    const y = this.flat ? path[at + 1] + 0.6 * this.places.tall : 1.08 * this.places.tall;
    this.scratch.set(path[at] + figure.lane[0], y, path[at + 2] + figure.lane[1]).project(this.camera);
    const [x, top] = this.#pixels(this.scratch);
    const [width, height] = this.extent;
    const place = [Math.min(width - 40, Math.max(40, x)), Math.min(height - 30, Math.max(14, top))];
    tag.style.transform = `translate(${place[0].toFixed(1)}px, ${place[1].toFixed(1)}px) translate(-50%, -50%)`;
  }

  #pixels(place) {
    return [((place.x + 1) / 2) * this.extent[0], ((1 - place.y) / 2) * this.extent[1]];
  }

  // The joint that is drawn nearest to a point of the canvas, null where there is none near.
  jointAt(x, y, reach = 18) {
    let [found, nearest] = [null, reach];
    const frame = this.state.get("frame");
    this.figures.forEach((figure, index) => {
      if (!this.state.shown(this.report.keys[index])) return;
      for (let j = 0; j < this.report.joints.length; j++) {
        if (!figure.place(frame, j, this.scratch)) continue;
        const [px, py] = this.#pixels(this.scratch.project(this.camera));
        const away = Math.hypot(px - x, py - y);
        if (away < nearest) [found, nearest] = [j, away];
      }
    });
    return found;
  }

  #picking() {
    let start = null;
    const point = (event) => {
      const box = this.canvas.getBoundingClientRect();
      return [event.clientX - box.left, event.clientY - box.top];
    };
    this.canvas.addEventListener("pointerdown", (event) => (start = point(event)));
    this.canvas.addEventListener("pointerup", (event) => {
      const [x, y] = point(event);
      if (!start || Math.hypot(x - start[0], y - start[1]) > 5) return;
      const joint = this.jointAt(x, y);
      if (joint !== null) this.state.set({ joint });
    });
    this.canvas.addEventListener("pointermove", (event) => {
      if (event.buttons || event.pointerType !== "mouse") return;
      const joint = this.jointAt(...point(event));
      this.canvas.title = joint === null ? "" : this.report.joints[joint];
      this.canvas.style.cursor = joint === null ? "grab" : "pointer";
    });
  }

  // Where the camera is, to be there again after the page was read anew.
  view() {
    return { target: this.controls.target.toArray(), camera: this.camera.position.toArray() };
  }

  restore({ target, camera }) {
    this.restored = true;
    this.controls.target.fromArray(target);
    this.camera.position.fromArray(camera);
    this.followed.fromArray(this.places.path, this.state.get("frame") * 3);
    this.controls.update();
  }
}

// The floor: squares of a metre. Their lines are in pieces, since a long line that begins
// behind the camera is not drawn everywhere.
function grid() {
  const [reach, step, piece] = [9, 1, 3];
  const places = [];
  for (let a = -reach; a <= reach; a += step) {
    for (let b = -reach; b < reach; b += piece) places.push(a, 0, b, a, 0, b + piece, b, 0, a, b + piece, 0, a);
  }
  const shape = new THREE.BufferGeometry().setAttribute("position", new THREE.Float32BufferAttribute(places, 3));
  return new THREE.LineSegments(shape, new THREE.LineBasicMaterial());
}

// Whether a graphics card draws, as far as the browser says.
function hasCard() {
  const context = element("canvas").getContext("webgl2");
  const told = context?.getExtension("WEBGL_debug_renderer_info");
  const name = told ? context.getParameter(told.UNMASKED_RENDERER_WEBGL) : "";
  context?.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|software|basic render/i.test(name);
}

// A soft spot under a person, which says where the ground is.
function shadow() {
  const size = 64;
  const picture = element("canvas", { width: size, height: size });
  const pen = picture.getContext("2d");
  const fade = pen.createRadialGradient(size / 2, size / 2, 0, size / 2, size / 2, size / 2);
  fade.addColorStop(0, "rgba(0,0,0,0.30)");
  fade.addColorStop(1, "rgba(0,0,0,0)");
  pen.fillStyle = fade;
  pen.fillRect(0, 0, size, size);
  const material = new THREE.MeshBasicMaterial({
    map: new THREE.CanvasTexture(picture), transparent: true, depthWrite: false, fog: false,
  });
  const spot = new THREE.Mesh(new THREE.PlaneGeometry(0.9, 0.9), material);
  spot.rotation.x = -Math.PI / 2;
  return spot;
}
