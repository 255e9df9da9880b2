// Draws a slide into a plot of Bokeh, and keeps the address and the panel in step with it.
"use strict";

const element = (id) => document.getElementById(id);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

// Browsers open six connections to a server: one is left for values
const MOST_AT_ONCE = 5;
const MOST_BYTES = 256 * 2 ** 20;
// Pixels of the screen for one of the slide
const LARGEST_PIXEL = 40;
// Part of the window that the whole slide has at least
const SMALLEST_PART = 0.25;

let scene = null; // the description that the server sends
let plot = null; // the model of Bokeh
let layerViews = []; // what Bokeh draws of each layer
let state = null; // what is shown: all that the address tells

// ---------------------------------------------------------------- tiles

/** Pictures of tiles by their addresses; those that were not drawn for longest go first. */
const pictures = new Map();
let pictureBytes = 0;
const loading = new Map(); // addresses to what ends the request
const failed = new Set();
let wanted = []; // addresses of all layers, the most urgent first
const wantedOf = new Map();

function picture(address) {
  const found = pictures.get(address);
  if (found) {
    pictures.delete(address);
    pictures.set(address, found);
  }
  return found;
}

function keep(address, bitmap) {
  pictures.set(address, bitmap);
  pictureBytes += bitmap.width * bitmap.height * 4;
  for (const [oldest, old] of pictures) {
    if (pictureBytes <= MOST_BYTES) break;
    pictures.delete(oldest);
    pictureBytes -= old.width * old.height * 4;
    old.close();
  }
}

/** Asks for what is wanted, and drops requests for what is wanted no more. */
function load() {
  wanted = [...wantedOf.values()].flat();
  const all = new Set(wanted);
  for (const [address, control] of loading) {
    if (!all.has(address)) control.abort();
  }
  for (const address of wanted) {
    if (loading.size >= MOST_AT_ONCE) break;
    if (!loading.has(address) && !pictures.has(address) && !failed.has(address)) fetchTile(address);
  }
}

async function fetchTile(address) {
  const control = new AbortController();
  loading.set(address, control);
  let isBusy = false;
  try {
    const answer = await fetch(address, { signal: control.signal });
    if (answer.ok) {
      keep(address, await createImageBitmap(await answer.blob()));
    } else if (answer.status === 503) {
      isBusy = true;
    } else {
      failed.add(address);
      tell(answer.status === 413 ? "Zoom in: there is no smaller level" : "A part cannot be shown");
    }
  } catch (error) {
    if (error.name !== "AbortError") {
      failed.add(address);
      tell("The viewer has ended");
    }
  } finally {
    loading.delete(address);
  }
  if (isBusy) setTimeout(load, 1000);
  else load();
  repaint();
}

let message = null;
function tell(text) {
  element("message").textContent = text;
  element("message").hidden = false;
  clearTimeout(message);
  message = setTimeout(() => (element("message").hidden = true), 4000);
}

let isPainting = false;
function repaint() {
  if (isPainting) return;
  isPainting = true;
  requestAnimationFrame(() => {
    isPainting = false;
    for (const view of layerViews) view.request_paint();
  });
}

const tileAddress = (layer, power, row, column, query) =>
  `slides/${state.slide}/tiles/${layer}/${power}/${row}/${column}?${query}`;

// ---------------------------------------------------------------- geometry

/** The affine from x and y of the image, in mm, to the axes of the plot. */
function axesMatrix() {
  return state.axes === "slide" ? scene.slide.matrix : [[1, 0, 0], [0, 1, 0]];
}

function toPlot(x, y, matrix = axesMatrix()) {
  return matrix.map(([a, b, c]) => a * x + b * y + c);
}

function fromPlot(x, y, matrix = axesMatrix()) {
  const [[a, b, c], [d, e, f]] = matrix;
  const size = a * e - b * d;
  return [(e * (x - c) - b * (y - f)) / size, (a * (y - f) - d * (x - c)) / size];
}

const frame = () => plotView().frame.bbox;
const plotView = () => layerViews[0].plot_view;
const pixelToImage = (row, column) => [
  scene.corner[1] + column * scene.step[1],
  scene.corner[0] + row * scene.step[0],
];

/** The affine from column and row of the base level to pixels of the canvas. */
function screenMatrix() {
  const box = frame();
  const { x_range, y_range } = plot;
  const point = (row, column) => {
    const [x, y] = toPlot(...pixelToImage(row, column));
    return [
      box.left + ((x - x_range.start) / (x_range.end - x_range.start)) * box.width,
      box.bottom - ((y - y_range.start) / (y_range.end - y_range.start)) * box.height,
    ];
  };
  const [origin, right, down] = [point(0, 0), point(0, 1), point(1, 0)];
  return { origin, right: [right[0] - origin[0], right[1] - origin[1]],
    down: [down[0] - origin[0], down[1] - origin[1]] };
}

// ---------------------------------------------------------------- drawing

function drawLayer(view, index, ctx) {
  const box = frame();
  keepAspect(box);
  const ratio = plotView().canvas.pixel_ratio;
  const screen = screenMatrix();
  // Pixels of the screen for one of the base level
  const magnification = Math.max(Math.hypot(...screen.right), Math.hypot(...screen.down)) * ratio;
  const power = clamp(Math.round(-Math.log2(magnification)), 0, scene.powers - 1);
  const side = scene.tile * 2 ** power;
  const [rows, columns] = visible(box, screen, side);
  const query = queryOf(index);
  const shown = state.layers[index];
  if (shown.query !== query) {
    shown.before = shown.query;
    shown.query = query;
  }
  const tiles = [];
  for (let row = rows[0]; row < rows[1]; row++)
    for (let column = columns[0]; column < columns[1]; column++) tiles.push([row, column]);
  const middle = [(rows[0] + rows[1] - 1) / 2, (columns[0] + columns[1] - 1) / 2];
  const distance = ([row, column]) => Math.hypot(row - middle[0], column - middle[1]);
  tiles.sort((a, b) => distance(a) - distance(b));
  const missing = [];
  ctx.save();
  ctx.beginPath();
  ctx.rect(box.left, box.top, box.width, box.height);
  ctx.clip();
  ctx.globalAlpha = view.model.alpha;
  ctx.imageSmoothingEnabled = magnification * 2 ** power < 2;
  ctx.imageSmoothingQuality = "high";
  for (const [row, column] of tiles) {
    const address = tileAddress(index, power, row, column, query);
    const bitmap = picture(address);
    if (bitmap) {
      blit(ctx, screen, ratio, bitmap, [0, 0, bitmap.width, bitmap.height], power, row, column);
    } else {
      missing.push(address);
      standIn(ctx, screen, ratio, index, power, row, column);
    }
  }
  ctx.restore();
  // The whole slide comes first: it stands in for all that is missing
  const top = tileAddress(index, scene.powers - 1, 0, 0, query);
  if (missing.length && !pictures.has(top)) missing.unshift(top);
  wantedOf.set(index, missing);
  clearTimeout(drawLayer.timer);
  drawLayer.timer = setTimeout(load, 30);
}

/** Rows and columns of tiles that are in the frame. */
function visible(box, screen, side) {
  const { origin, right, down } = screen;
  const size = right[0] * down[1] - right[1] * down[0];
  const corners = [[box.left, box.top], [box.right, box.top], [box.left, box.bottom], [box.right, box.bottom]];
  const found = corners.map(([x, y]) => {
    const [u, v] = [x - origin[0], y - origin[1]];
    return [(right[0] * v - right[1] * u) / size, (down[1] * u - down[0] * v) / size];
  });
  return [0, 1].map((axis) => {
    const count = Math.ceil(scene.size[axis] / side);
    const values = found.map((corner) => corner[axis] / side);
    return [
      clamp(Math.floor(Math.min(...values)), 0, count),
      clamp(Math.ceil(Math.max(...values)), 0, count),
    ];
  });
}

/** Draws a part of a picture, at a tile: [left, top, width, height] in its pixels. */
function blit(ctx, screen, ratio, bitmap, part, power, row, column, span = null) {
  const { origin, right, down } = screen;
  const scale = 2 ** power;
  const [left, top] = [column * scene.tile * scale, row * scene.tile * scale];
  const [width, height] = span || [
    Math.min(part[2] * scale, scene.size[1] - left),
    Math.min(part[3] * scale, scene.size[0] - top),
  ];
  // Whole pixels of the screen: no seams are between tiles
  const point = (x, y) =>
    [0, 1].map((axis) =>
      Math.round((origin[axis] + right[axis] * x + down[axis] * y) * ratio) / ratio);
  const [p, q, r] = [point(left, top), point(left + width, top), point(left, top + height)];
  ctx.save();
  ctx.transform(q[0] - p[0], q[1] - p[1], r[0] - p[0], r[1] - p[1], p[0], p[1]);
  ctx.drawImage(bitmap, ...part, 0, 0, 1, 1);
  ctx.restore();
}

/** Draws what is known of a tile that is missing: as it was seen before, or of a smaller picture. */
function standIn(ctx, screen, ratio, index, power, row, column) {
  const { query, before } = state.layers[index];
  for (const seen of [query, before]) {
    if (seen === undefined) continue;
    for (let up = seen === query ? 1 : 0; power + up < scene.powers; up++) {
      const factor = 2 ** up;
      const [parentRow, parentColumn] = [Math.floor(row / factor), Math.floor(column / factor)];
      const bitmap = picture(tileAddress(index, power + up, parentRow, parentColumn, seen));
      if (!bitmap) continue;
      const size = scene.tile / factor;
      const [left, top] = [(column - parentColumn * factor) * size, (row - parentRow * factor) * size];
      const scale = 2 ** power;
      const span = [
        Math.min(scene.tile * scale, scene.size[1] - column * scene.tile * scale),
        Math.min(scene.tile * scale, scene.size[0] - row * scene.tile * scale),
      ];
      const part = [left, top, span[0] / scale / factor, span[1] / scale / factor];
      blit(ctx, screen, ratio, bitmap, part, power, row, column, span);
      return;
    }
  }
}

/** Extends the tile renderer of Bokeh by grids of tiles that are turned. */
function extendBokeh() {
  const model = Bokeh.Models.get("TileRenderer");
  class LayerView extends model.prototype.default_view {
    _paint(ctx) {
      if (layerViews.length) drawLayer(this, Number(this.model.name.slice("layer-".length)), ctx);
    }
    has_finished() {
      return true;
    }
  }
  model.prototype.default_view = LayerView;
}

// ---------------------------------------------------------------- what is in the window

/** Millimetres that a pixel of the screen has. */
const resolution = () => state.scale / 1000;

function setRanges() {
  const box = frame();
  const [half, high] = [(box.width / 2) * resolution(), (box.height / 2) * resolution()];
  // Rows of an image run downwards
  const up = state.axes === "slide" ? 1 : -1;
  setRanges.isBusy = true;
  plot.x_range.setv({ start: state.x - half, end: state.x + half });
  plot.y_range.setv({ start: state.y - up * high, end: state.y + up * high });
  setRanges.isBusy = false;
  writeAddress();
}

/** Follows the tools of Bokeh, which move the ranges. */
function readRanges() {
  if (setRanges.isBusy || readRanges.isWaiting) return;
  readRanges.isWaiting = true;
  queueMicrotask(() => {
    readRanges.isWaiting = false;
    const { x_range, y_range } = plot;
    const scale = (Math.abs(x_range.end - x_range.start) / frame().width) * 1000;
    const [low, high] = scaleLimits();
    if (scale >= low * 0.999 && scale <= high * 1.001) {
      state.scale = scale;
      state.x = (x_range.start + x_range.end) / 2;
      state.y = (y_range.start + y_range.end) / 2;
    }
    setRanges();
  });
}

let drawnSize = "";
function keepAspect(box) {
  const size = `${box.width} ${box.height}`;
  if (size === drawnSize) return;
  drawnSize = size;
  if (state.scale === null) fit();
  else queueMicrotask(setRanges);
}

function extent() {
  const corners = [pixelToImage(0, 0), pixelToImage(...scene.size)].map((c) => toPlot(...c));
  const all = [...corners, toPlot(...pixelToImage(0, scene.size[1])), toPlot(...pixelToImage(scene.size[0], 0))];
  return [0, 1].map((axis) => {
    const values = all.map((corner) => corner[axis]);
    return [Math.min(...values), Math.max(...values)];
  });
}

function fitScale() {
  const [x, y] = extent();
  const box = frame();
  return 1000 * Math.max((x[1] - x[0]) / box.width, (y[1] - y[0]) / box.height);
}

function scaleLimits() {
  const pixel = Math.min(...scene.step) * 1000;
  const low = pixel / LARGEST_PIXEL;
  return [low, Math.max(fitScale() / SMALLEST_PART, low)];
}

function fit() {
  const [x, y] = extent();
  state.x = (x[0] + x[1]) / 2;
  state.y = (y[0] + y[1]) / 2;
  state.scale = fitScale() * 1.04;
  queueMicrotask(setRanges);
}

function zoomTo(scale) {
  state.scale = clamp(scale, ...scaleLimits());
  setRanges();
}

/** Moves and zooms by keys: arrows, plus and minus, and 0 for the whole slide. */
function pressKey(event) {
  const box = frame();
  const [right, up] = [0.2 * box.width * resolution(), 0.2 * box.height * resolution()];
  const down = state.axes === "slide" ? -up : up;
  const moves = { ArrowLeft: [-right, 0], ArrowRight: [right, 0], ArrowUp: [0, -down], ArrowDown: [0, down] };
  if (event.key in moves) {
    state.x += moves[event.key][0];
    state.y += moves[event.key][1];
    setRanges();
  } else if (event.key === "+" || event.key === "=") zoomTo(state.scale / 2);
  else if (event.key === "-") zoomTo(state.scale * 2);
  else if (event.key === "0") fit();
  else return;
  event.preventDefault();
}

// ---------------------------------------------------------------- what is shown

const isNumber = (text) => text !== null && text !== "" && Number.isFinite(Number(text));

/** What is shown of a slide when nothing else is wanted. */
function firstState(slide) {
  const canTurn = scene.slide !== null && scene.slide.is_parallel;
  return {
    slide,
    axes: canTurn ? "slide" : "image",
    x: 0,
    y: 0,
    scale: null,
    plane: Math.floor(scene.planes.length / 2),
    channels: scene.layers[0].channels.map((channel) => ({
      isShown: channel.is_shown,
      color: channel.color,
      window: [...channel.window],
    })),
    layers: scene.layers.map((layer, index) => ({
      isShown: index === 0,
      opacity: index === 0 ? 1 : 0.5,
      color: layer.color,
      window: layer.window && [...layer.window],
    })),
  };
}

const rounded = (value) => Number(value.toPrecision(6));

function queryOf(index) {
  const query = new URLSearchParams();
  if (scene.planes.length > 1) query.set("plane", state.plane);
  const { kind } = scene.layers[index];
  const shown = state.layers[index];
  if (kind === "slide") {
    if (!scene.layers[0].channels[0].is_color || scene.layers[0].channels.length > 1)
      query.set("channels", channelsText());
  } else if (kind === "mask" && shown.color !== scene.layers[index].color) {
    query.set("color", shown.color);
  } else if (kind === "quantity") {
    query.set("window", shown.window.map(rounded).join(":"));
  }
  return query.toString();
}

function channelsText() {
  return state.channels
    .map((channel, index) =>
      scene.layers[0].channels[index].is_color
        ? [index]
        : [index, channel.color, ...channel.window.map(rounded)])
    .filter((_, index) => state.channels[index].isShown)
    .map((parts) => parts.join(":"))
    .join(",");
}

function overlaysText() {
  return state.layers
    .map((layer, index) => {
      const parts = [index, rounded(layer.opacity)];
      if (layer.color) parts.push(layer.color);
      if (layer.window) parts.push(...layer.window.map(rounded));
      return parts.join(":");
    })
    .filter((_, index) => index > 0 && state.layers[index].isShown)
    .join(",");
}

/** Writes all that is shown into the address, so that it can be passed on. */
function writeAddress() {
  clearTimeout(writeAddress.timer);
  writeAddress.timer = setTimeout(() => {
    const parts = new URLSearchParams({
      slide: scene.name,
      axes: state.axes,
      x: state.x.toFixed(5),
      y: state.y.toFixed(5),
      scale: rounded(state.scale),
    });
    if (scene.planes.length > 1) parts.set("plane", state.plane);
    if (!scene.layers[0].channels[0].is_color) parts.set("channels", channelsText());
    if (overlaysText()) parts.set("overlays", overlaysText());
    // Colons and commas may stand in an address as they are
    writeAddress.last = `#${parts}`.replaceAll("%3A", ":").replaceAll("%2C", ",");
    history.replaceState(null, "", writeAddress.last);
  }, 150);
}

/** Reads what is shown from the address; what it does not tell, or tells wrongly, stays. */
function readAddress(parts) {
  const axes = parts.get("axes");
  if (axes === "image" || (axes === "slide" && scene.slide?.is_parallel)) state.axes = axes;
  const plane = Number(parts.get("plane") ?? -1);
  if (plane in scene.planes) state.plane = plane;
  if (parts.has("channels") && !scene.layers[0].channels[0].is_color) {
    for (const channel of state.channels) channel.isShown = false;
    for (const item of parts.get("channels").split(",")) {
      const [index, color, ...window] = item.split(":");
      const channel = state.channels[index];
      if (!channel) continue;
      channel.isShown = true;
      if (/^[0-9A-Fa-f]{6}$/.test(color ?? "")) channel.color = color.toUpperCase();
      if (window.length === 2 && window.every(isNumber)) channel.window = window.map(Number);
    }
  }
  for (const item of (parts.get("overlays") ?? "").split(",")) {
    const [index, opacity, ...more] = item.split(":");
    const layer = index > 0 ? state.layers[index] : null;
    if (!layer) continue;
    layer.isShown = true;
    if (isNumber(opacity ?? null)) layer.opacity = clamp(Number(opacity), 0, 1);
    if (layer.color && /^[0-9A-Fa-f]{6}$/.test(more[0] ?? "")) layer.color = more[0].toUpperCase();
    if (layer.window && more.length === 2 && more.every(isNumber)) layer.window = more.map(Number);
  }
  if (["x", "y", "scale"].every((name) => isNumber(parts.get(name)))) {
    [state.x, state.y, state.scale] = ["x", "y", "scale"].map((name) => Number(parts.get(name)));
    if (!(state.scale > 0)) state.scale = null;
  }
}

/** Shows what has changed in the panel. */
function show() {
  layerViews.forEach((view, index) => {
    const { isShown, opacity } = state.layers[index];
    view.model.setv({ visible: isShown, alpha: opacity });
    if (!isShown) wantedOf.delete(index);
  });
  writeAddress();
  repaint();
}

let later = null;
function showSoon() {
  clearTimeout(later);
  later = setTimeout(show, 120);
}

// ---------------------------------------------------------------- panel

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

function checkbox(name, shown, item) {
  const box = make("input", { type: "checkbox", checked: shown.isShown });
  box.addEventListener("change", () => {
    shown.isShown = box.checked;
    item.classList.toggle("shown", box.checked);
    show();
  });
  item.classList.toggle("shown", shown.isShown);
  return make("label", {}, box, make("span", { textContent: name }));
}

function colorPicker(name, shown) {
  const picker = make("input", { type: "color", value: `#${shown.color}`, ariaLabel: `Colour of ${name}` });
  picker.addEventListener("input", () => {
    shown.color = picker.value.slice(1).toUpperCase();
    showSoon();
  });
  return picker;
}

function windowInputs(name, shown, limits) {
  const isWhole = limits.every(Number.isInteger) && limits[1] - limits[0] > 1;
  const step = isWhole ? 1 : "any";
  const ends = ["Smallest", "Largest"].map((end, place) => {
    const about = { min: limits[0], max: limits[1], step, ariaLabel: `${end} value of ${name}` };
    const slider = make("input", { type: "range", ...about });
    const field = make("input", { type: "number", ...about });
    const write = () => {
      slider.value = shown.window[place];
      field.value = rounded(shown.window[place]);
    };
    write();
    for (const input of [slider, field])
      input.addEventListener("input", () => {
        if (!isNumber(input.value)) return;
        shown.window[place] = Number(input.value);
        (input === slider ? field : slider).value = rounded(Number(input.value));
        showSoon();
      });
    return make("div", { className: "row" }, slider, field);
  });
  return ends;
}

function opacitySlider(name, shown) {
  const slider = make("input", {
    type: "range", min: 0, max: 1, step: 0.01, value: shown.opacity, ariaLabel: `Opacity of ${name}`,
  });
  slider.addEventListener("input", () => {
    shown.opacity = Number(slider.value);
    show();
  });
  return make("div", { className: "row" }, make("span", { textContent: "opacity" }), slider);
}

function fillPanel() {
  const channels = scene.layers[0].channels;
  element("name").textContent = scene.name;
  document.title = scene.name;
  element("channels-section").hidden = channels[0].is_color && channels.length === 1;
  element("channels").replaceChildren(
    ...channels.map((channel, index) => {
      const item = make("li");
      const shown = state.channels[index];
      const row = make("div", { className: "row" }, checkbox(channel.name, shown, item));
      item.append(row);
      if (!channel.is_color) {
        row.append(colorPicker(channel.name, shown));
        item.append(make("div", { className: "more" }, ...windowInputs(channel.name, shown, channel.limits)));
      }
      return item;
    }));
  const overlays = scene.layers.map((layer, index) => [layer, state.layers[index]]).slice(1);
  element("overlays-section").hidden = !overlays.length;
  element("overlays").replaceChildren(
    ...overlays.map(([layer, shown]) => {
      const item = make("li");
      const row = make("div", { className: "row" }, checkbox(layer.name, shown, item));
      const more = make("div", { className: "more" }, opacitySlider(layer.name, shown));
      if (layer.kind === "mask") row.append(colorPicker(layer.name, shown));
      if (layer.kind === "labels") more.append(legend(layer));
      if (layer.kind === "quantity") {
        const colors = layer.palette.map((color) => `#${color}`).join(", ");
        const bar = make("div", { className: "palette" });
        bar.style.background = `linear-gradient(to right, ${colors})`;
        more.append(bar, ...windowInputs(layer.name, shown, layer.limits));
        if (layer.unit) more.append(make("span", { textContent: layer.unit }));
      }
      item.append(row, more);
      return item;
    }));
  element("plane-section").hidden = scene.planes.length < 2;
  element("plane").max = scene.planes.length - 1;
  element("plane").value = state.plane;
  showHeight();
  const canTurn = scene.slide !== null && scene.slide.is_parallel;
  for (const input of document.querySelectorAll("input[name=axes]")) {
    input.checked = input.value === state.axes;
    input.disabled = !canTurn;
  }
  element("oblique").hidden = scene.slide === null || canTurn;
  element("not-shown").hidden = !scene.not_shown.length;
  element("not-shown").textContent =
    `Not shown, as it lies at another angle: ${scene.not_shown.join(", ")}`;
  element("associated-section").hidden = !scene.associated.length;
  element("associated").replaceChildren(
    ...scene.associated.map((name) =>
      make("figure", {},
        make("img", { src: `slides/${state.slide}/associated/${name}`, alt: name, loading: "lazy" }),
        make("figcaption", { textContent: name }))));
}

function legend(layer) {
  const list = make("ul", { className: "legend" });
  for (const { name, color } of layer.legend) {
    const swatch = make("span", { className: "swatch" });
    swatch.style.background = `#${color}`;
    list.append(make("li", {}, swatch, name));
  }
  return list;
}

function showHeight() {
  element("height").textContent = `${scene.planes[state.plane]} µm`;
}

// ---------------------------------------------------------------- pointer

let asked = null;
let moved = null;

function follow(event) {
  const box = frame();
  const place = element("plot").getBoundingClientRect();
  const [u, v] = [event.clientX - place.left - box.left, event.clientY - place.top - box.top];
  clearTimeout(moved);
  asked?.abort();
  if (u < 0 || v < 0 || u > box.width || v > box.height) return leave();
  const { x_range, y_range } = plot;
  const x = x_range.start + (u / box.width) * (x_range.end - x_range.start);
  const y = y_range.end - (v / box.height) * (y_range.end - y_range.start);
  const image = fromPlot(x, y);
  const column = Math.floor((image[0] - scene.corner[1]) / scene.step[1]);
  const row = Math.floor((image[1] - scene.corner[0]) / scene.step[0]);
  const known = scene.slide ? ["X", "Y"].map((n, i) => [n, toPlot(...image, scene.slide.matrix)[i]])
    : [["x", image[0]], ["y", image[1]]];
  const text = `${known.map(([name, value]) => `${name} ${value.toFixed(4)} mm`).join("   ")}
row ${row}   column ${column}`;
  const pointer = element("pointer");
  pointer.hidden = false;
  pointer.textContent = text;
  moved = setTimeout(() => tellValues(row, column, text), 80);
}

async function tellValues(row, column, text) {
  if (row < 0 || column < 0 || row >= scene.size[0] || column >= scene.size[1]) return;
  const power = clamp(Math.round(Math.log2(state.scale / 1000 / Math.min(...scene.step))), 0, scene.powers - 1);
  const layers = state.layers.flatMap((layer, index) => (layer.isShown ? [index] : []));
  if (!layers.length) return;
  const query = new URLSearchParams(queryOf(0));
  query.set("layers", layers.join(","));
  asked = new AbortController();
  try {
    const answer = await fetch(`slides/${state.slide}/values/${power}/${row}/${column}?${query}`, { signal: asked.signal });
    if (!answer.ok) return;
    const { values } = await answer.json();
    element("pointer").textContent = [text, ...values].join("\n");
  } catch (error) {
    if (error.name !== "AbortError") tell("The viewer has ended");
  }
}

function leave() {
  clearTimeout(moved);
  element("pointer").hidden = true;
}

// ---------------------------------------------------------------- slides

async function open(slide, parts) {
  const answer = await fetch(`slides/${slide}`);
  if (!answer.ok) return tell("The slide cannot be shown");
  for (const control of loading.values()) control.abort();
  wantedOf.clear();
  layerViews = [];
  drawnSize = "";
  scene = await answer.json();
  state = firstState(slide);
  readAddress(parts);
  element("plot").replaceChildren();
  const views = await Bokeh.embed.embed_item(scene.document, "plot");
  const [root] = views.roots ?? [...views];
  plot = root.model;
  const found = scene.layers.map((_, index) =>
    root.renderer_views.get(plot.renderers.find((model) => model.name === `layer-${index}`)));
  layerViews = found;
  for (const range of [plot.x_range, plot.y_range]) range.change.connect(readRanges);
  labelAxes();
  fillPanel();
  show();
}

function labelAxes() {
  const names = state.axes === "slide" ? ["X (mm)", "Y (mm)"] : ["x (mm)", "y (mm)"];
  plot.below[0].axis_label = names[0];
  plot.left[0].axis_label = names[1];
}

function turn(axes) {
  const image = fromPlot(state.x, state.y);
  state.axes = axes;
  [state.x, state.y] = toPlot(...image);
  labelAxes();
  setRanges();
  show();
}

const addressParts = () => new URLSearchParams(location.hash.slice(1));

async function start() {
  extendBokeh();
  const { slides } = await (await fetch("slides")).json();
  const choice = element("slides");
  choice.replaceChildren(...slides.map((name) => make("option", { textContent: name })));
  choice.hidden = slides.length < 2;
  element("name").hidden = slides.length > 1;
  const first = Math.max(slides.indexOf(addressParts().get("slide")), 0);
  choice.selectedIndex = first;
  choice.addEventListener("change", () => open(choice.selectedIndex, new URLSearchParams()));
  addEventListener("hashchange", () => {
    if (location.hash === writeAddress.last) return;
    const parts = addressParts();
    choice.selectedIndex = Math.max(slides.indexOf(parts.get("slide")), 0);
    open(choice.selectedIndex, parts);
  });
  element("zoom-in").addEventListener("click", () => zoomTo(state.scale / 2));
  element("zoom-out").addEventListener("click", () => zoomTo(state.scale * 2));
  element("fit").addEventListener("click", fit);
  element("pixels").addEventListener("click", () =>
    zoomTo((1000 * Math.min(...scene.step)) * plotView().canvas.pixel_ratio));
  element("plane").addEventListener("input", () => {
    state.plane = Number(element("plane").value);
    showHeight();
    showSoon();
  });
  for (const input of document.querySelectorAll("input[name=axes]"))
    input.addEventListener("change", () => turn(input.value));
  element("link").addEventListener("click", async () => {
    await navigator.clipboard.writeText(location.href);
    tell("The address is copied");
  });
  element("plot").addEventListener("keydown", pressKey);
  element("plot").addEventListener("pointermove", follow);
  element("plot").addEventListener("pointerleave", leave);
  await open(first, addressParts());
}

start();
