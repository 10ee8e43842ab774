"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const count = data.words.length;
const canvas = document.getElementById("map");
const pen = canvas.getContext("2d");
const search = document.getElementById("search");
const found = document.getElementById("found");
const about = document.getElementById("word");
const SHAPES = ["circle", "square", "triangle", "diamond", "down", "plus", "cross", "star"];
const SIZE = 13; // of a label's letters, in pixels
const FONT = `${SIZE}px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif`;
const lower = data.words.map((word) => word.toLowerCase());
const widths = new Array(count);
let scale = 1; // pixels for the whole width of the map
let middle = [0, 0]; // the place of the map that is shown in the middle
let chosen = -1;
let hovered = -1;
let whole = true; // whether all of the map is shown, and goes on to be when the window changes
let waiting = false;

function colours() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    card: read("--card"), ink: read("--ink"), soft: read("--soft"), arrow: read("--arrow"), kept: read("--kept"),
    lost: read("--lost"), groups: SHAPES.map((_, i) => read(`--g${i}`)),
  };
}

function room() {
  return [canvas.clientWidth, canvas.clientHeight];
}

function onScreen(i) {
  const [width, height] = room();
  return [width / 2 + (data.x[i] - middle[0]) * scale, height / 2 + (data.y[i] - middle[1]) * scale];
}

function outline(pen, shape, x, y, r) {
  pen.beginPath();
  if (shape === "circle") {
    pen.arc(x, y, r, 0, 2 * Math.PI);
    return;
  }
  const corners = {
    square: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
    triangle: [[0, -1.2], [1.1, 0.9], [-1.1, 0.9]],
    diamond: [[0, -1.3], [1.1, 0], [0, 1.3], [-1.1, 0]],
    down: [[0, 1.2], [1.1, -0.9], [-1.1, -0.9]],
    plus: [[-0.4, -1.2], [0.4, -1.2], [0.4, -0.4], [1.2, -0.4], [1.2, 0.4], [0.4, 0.4], [0.4, 1.2], [-0.4, 1.2],
      [-0.4, 0.4], [-1.2, 0.4], [-1.2, -0.4], [-0.4, -0.4]],
    cross: [[-1.2, -0.6], [-0.6, -1.2], [0, -0.6], [0.6, -1.2], [1.2, -0.6], [0.6, 0], [1.2, 0.6], [0.6, 1.2], [0, 0.6],
      [-0.6, 1.2], [-1.2, 0.6], [-0.6, 0]],
    star: Array.from({ length: 10 }, (_, k) => {
      const far = k % 2 ? 0.6 : 1.4;
      return [far * Math.sin(k * Math.PI / 5), -far * Math.cos(k * Math.PI / 5)];
    }),
  }[shape];
  corners.forEach(([dx, dy], k) => pen[k ? "lineTo" : "moveTo"](x + r * dx, y + r * dy));
  pen.closePath();
}

function arrow(from, to, colour) {
  const [x0, y0] = from;
  const length = Math.hypot(to[0] - x0, to[1] - y0) || 1;
  const [dx, dy] = [(to[0] - x0) / length, (to[1] - y0) / length];
  const [x, y] = [to[0] - 6 * dx, to[1] - 6 * dy];
  pen.strokeStyle = pen.fillStyle = colour;
  pen.lineWidth = 1.2;
  pen.beginPath();
  pen.moveTo(x0 + 6 * dx, y0 + 6 * dy);
  pen.lineTo(x, y);
  pen.stroke();
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(x - 8 * dx - 3.5 * dy, y - 8 * dy + 3.5 * dx);
  pen.lineTo(x - 8 * dx + 3.5 * dy, y - 8 * dy - 3.5 * dx);
  pen.fill();
}

// Boxes by the cells of a grid that they touch, so that a new box meets few others.
class Grid {
  constructor() {
    this.cells = new Map();
  }
  *keys([left, top, right, bottom]) {
    for (let x = Math.floor(left / 64); x <= Math.floor(right / 64); x++) {
      for (let y = Math.floor(top / 64); y <= Math.floor(bottom / 64); y++) yield x * 65536 + y;
    }
  }
  met(box) {
    const met = new Set();
    for (const key of this.keys(box)) {
      for (const other of this.cells.get(key) || []) {
        if (box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]) met.add(other);
      }
    }
    return met.size;
  }
  add(box) {
    for (const key of this.keys(box)) {
      if (!this.cells.has(key)) this.cells.set(key, []);
      this.cells.get(key).push(box);
    }
  }
}

function labels(order, places) {
  const [width, height] = room();
  const taken = new Grid();
  const dots = new Grid();
  const mark = (x, y) => dots.add([x - 1, y - 1, x + 1, y + 1]);
  for (const i of order) mark(...places[i]);
  for (const [from, to] of data.arrows) {
    const [[x0, y0], [x1, y1]] = [places[from], places[to]];
    const steps = Math.min(Math.ceil(Math.hypot(x1 - x0, y1 - y0) / 6), 400);
    for (let k = 1; k < steps; k++) mark(x0 + (x1 - x0) * k / steps, y0 + (y1 - y0) * k / steps);
  }
  const placed = [];
  const sides = [[0, 0.5], [1, 0.5], [0.5, 1], [0.5, 0], [0, 1], [0, 0], [1, 1], [1, 0]];
  for (const i of order) {
    widths[i] ??= pen.measureText(data.words[i]).width + 2;
    const [x, y] = places[i];
    let best = null;
    for (const [across, up] of sides) {
      const left = x + 6 * (1 - 2 * across) - across * widths[i];
      const top = y + 6 * (1 - 2 * up) - up * (SIZE + 3);
      const box = [left, top, left + widths[i], top + SIZE + 3];
      if (left < 0 || top < 0 || box[2] > width || box[3] > height || taken.met(box)) continue;
      const hides = dots.met(box);
      if (!best || hides < best.hides) best = { box, hides };
      if (!hides) break;
    }
    if (best) {
      taken.add(best.box);
      placed.push([i, best.box]);
    }
  }
  return placed;
}

function draw() {
  waiting = false;
  const [width, height] = room();
  const dense = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * dense);
  canvas.height = Math.round(height * dense);
  pen.scale(dense, dense);
  pen.font = FONT;
  pen.textBaseline = "middle";
  const colour = colours();
  legend(colour);
  const places = data.words.map((_, i) => onScreen(i));
  const inView = places.map(([x, y]) => x > -20 && y > -20 && x < width + 20 && y < height + 20);
  const near = chosen >= 0 ? data.near[chosen] : [];
  for (const [from, to] of data.arrows) arrow(places[from], places[to], colour.arrow);
  near.forEach((i, k) => {
    const kept = data.kept[chosen][k];
    pen.strokeStyle = kept ? colour.kept : colour.lost;
    pen.setLineDash(kept ? [] : [4, 4]);
    pen.lineWidth = 1.2;
    pen.beginPath();
    pen.moveTo(...places[chosen]);
    pen.lineTo(...places[i]);
    pen.stroke();
  });
  pen.setLineDash([]);
  const lit = new Set([chosen, hovered, ...near]);
  for (let i = 0; i < count; i++) {
    if (!inView[i]) continue;
    const group = data.names.length ? data.groups[i] : 0;
    pen.globalAlpha = chosen >= 0 && !lit.has(i) ? 0.35 : 1;
    pen.fillStyle = colour.groups[group % SHAPES.length];
    outline(pen, SHAPES[group % SHAPES.length], ...places[i], i === chosen || i === hovered ? 5 : count > 600 ? 2.6 : 3.2);
    pen.fill();
  }
  const before = [chosen, hovered, ...near, ...data.first].filter((i) => i >= 0);
  const order = [...new Set([...before, ...data.words.keys()])].filter((i) => inView[i]);
  for (const [i, [left, top]] of labels(order, places)) {
    const strong = i === chosen || i === hovered;
    pen.globalAlpha = chosen >= 0 && !lit.has(i) ? 0.45 : 1;
    pen.font = strong ? `bold ${FONT}` : FONT;
    pen.lineWidth = 3;
    pen.lineJoin = "round";
    pen.strokeStyle = colour.card; // a rim, so that lines and points do not run through the letters
    pen.strokeText(data.words[i], left + 1, top + (SIZE + 3) / 2, widths[i]);
    pen.fillStyle = colour.ink;
    pen.fillText(data.words[i], left + 1, top + (SIZE + 3) / 2, widths[i]);
  }
  pen.globalAlpha = 1;
}

function redraw() {
  if (!waiting) requestAnimationFrame(draw);
  waiting = true;
}

function span(values) {
  return [Math.min(...values), Math.max(...values)];
}

function wholeMap() {
  whole = true;
  middle = [span(data.x), span(data.y)].map(([low, high]) => (low + high) / 2);
  scale = wholeScale();
  redraw();
}

function wholeScale() {
  const [width, height] = room();
  const [across, down] = [span(data.x), span(data.y)].map(([low, high]) => high - low || 1);
  return Math.max(Math.min((width - 90) / across, (height - 50) / down), 50);
}

// So that a word and those of its neighbours that are near it fill the view.
function closeUp(i) {
  const near = data.near[i].filter((_, k) => data.kept[i][k]);
  const far = Math.max(...near.map((other) => Math.hypot(data.x[other] - data.x[i], data.y[other] - data.y[i])), 0);
  const wanted = 0.36 * Math.min(...room()) / (far || 1e-9);
  return Math.min(Math.max(wanted, wholeScale()), 5 * wholeScale());
}

function zoom(factor, x, y) {
  const [width, height] = room();
  const [dx, dy] = [(x ?? width / 2) - width / 2, (y ?? height / 2) - height / 2];
  const next = Math.min(Math.max(scale * factor, 50), 1e6);
  whole = false;
  middle = [middle[0] + dx / scale - dx / next, middle[1] + dy / scale - dy / next];
  scale = next;
  redraw();
}

function at(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function under([x, y]) {
  let nearest = -1;
  let least = 14 ** 2;
  for (let i = 0; i < count; i++) {
    const [px, py] = onScreen(i);
    const distance = (px - x) ** 2 + (py - y) ** 2;
    if (distance < least) [nearest, least] = [i, distance];
  }
  return nearest;
}

const fingers = new Map();
let moved = 0;
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, at(event));
  moved = 0;
});
canvas.addEventListener("pointermove", (event) => {
  const here = at(event);
  if (!fingers.has(event.pointerId)) {
    const now = under(here);
    if (now !== hovered) {
      hovered = now;
      redraw();
    }
    return;
  }
  const before = fingers.get(event.pointerId);
  const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
  if (other) {
    const apart = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]) || 1;
    zoom(apart(here) / apart(before), (here[0] + other[0]) / 2, (here[1] + other[1]) / 2);
  } else {
    middle = [middle[0] - (here[0] - before[0]) / scale, middle[1] - (here[1] - before[1]) / scale];
    whole = false;
    redraw();
  }
  moved += Math.hypot(here[0] - before[0], here[1] - before[1]);
  fingers.set(event.pointerId, here);
});
canvas.addEventListener("pointerup", (event) => {
  fingers.delete(event.pointerId);
  if (moved < 5) choose(under(at(event)), false);
});
canvas.addEventListener("pointercancel", (event) => fingers.delete(event.pointerId));
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...at(event));
}, { passive: false });
canvas.addEventListener("keydown", (event) => {
  const step = 60 / scale;
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  if (event.key in moves) {
    middle = middle.map((value, axis) => value + moves[event.key][axis]);
    whole = false;
  } else if (event.key === "+" || event.key === "=") zoom(1.3);
  else if (event.key === "-") zoom(1 / 1.3);
  else if (event.key === "0") wholeMap();
  else return;
  event.preventDefault();
  redraw();
});
document.getElementById("in").addEventListener("click", () => zoom(1.5));
document.getElementById("out").addEventListener("click", () => zoom(1 / 1.5));
document.getElementById("whole").addEventListener("click", wholeMap);

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function choose(i, go) {
  chosen = i;
  about.replaceChildren();
  if (i >= 0) {
    const kept = data.kept[i].reduce((sum, one) => sum + one, 0);
    const times = data.counts.length ? `${data.counts[i].toLocaleString("en")} times in the corpus. ` : "";
    const list = element("ol");
    data.near[i].forEach((other, k) => {
      const button = element("button");
      const near = data.kept[i][k];
      button.append(element("span", data.words[other]), element("small", near ? "near here" : "far here", near ? "kept" : "lost"),
        element("span", data.cosines[i][k].toFixed(3)));
      button.addEventListener("click", () => choose(other, true));
      const line = element("li");
      line.append(button);
      list.append(line);
    });
    about.append(element("h2", data.words[i]), element("p",
      `${times}${kept} of its ${data.near[i].length} nearest by cosine, among the words drawn, are near it here:`, "note"), list);
    if (go) {
      middle = [data.x[i], data.y[i]];
      whole = false;
      scale = closeUp(i);
    }
  }
  redraw();
}

function matches(text) {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const rank = (word) => (word === wanted ? 0 : word.startsWith(wanted) ? 1 : word.includes(wanted) ? 2 : 3);
  const ranked = lower.map((word, i) => [rank(word), i]).filter(([order]) => order < 3);
  return ranked.sort((a, b) => a[0] - b[0] || a[1] - b[1]).slice(0, 12).map(([, i]) => i);
}

function offer() {
  const some = matches(search.value);
  found.replaceChildren(...some.map((i) => {
    const button = element("button", data.words[i]);
    button.addEventListener("click", () => choose(i, true));
    const item = element("li");
    item.append(button);
    return item;
  }));
  if (search.value.trim() && !some.length) found.append(element("li", "No such word is drawn.", "note"));
}

search.addEventListener("input", offer);
search.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && matches(search.value).length) choose(matches(search.value)[0], true);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape") {
    search.value = "";
    offer();
    choose(-1, false);
  }
});

function legend(colour) {
  document.getElementById("groups").replaceChildren(...data.names.map((name, group) => {
    const mark = document.createElement("canvas");
    mark.width = mark.height = 24;
    const small = mark.getContext("2d");
    small.fillStyle = colour.groups[group % SHAPES.length];
    outline(small, SHAPES[group % SHAPES.length], 12, 12, 7);
    small.fill();
    const item = element("li");
    item.append(mark, element("span", name));
    return item;
  }));
}

new ResizeObserver(() => (whole ? wholeMap() : redraw())).observe(canvas);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
wholeMap();
const asked = lower.indexOf(decodeURIComponent(location.hash.slice(1)).toLowerCase());
if (asked >= 0) choose(asked, true);
