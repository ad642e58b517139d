const element = (id) => document.getElementById(id);
const data = JSON.parse(element("data").textContent);

// The reader's choices. `point` is in pixels of the image; `head` null averages over the heads.
const state = { layer: 0, level: 0, head: null, token: 0, point: null, held: false };
const pictures = {}; // decoded: image, grey, prediction
const palettes = {}; // by name
let bytes = null; // all maps

const layer = () => data.layers[state.layer];
const level = () => layer().levels[state.level];
const tokenAt = (token) => layer().tokens[token];
const cards = () => [...element("tokens").children];
const palette = () => palettes[element("palette").value];

const percent = (value) => `${(100 * value).toFixed(1)} %`;
const times = (value) => `${value < 10 ? value.toFixed(1) : value.toFixed(0)}×`;

// ---- the maps that the state selects -----------------------------------------------------------

/** Returns the chosen head of a packed {mean, heads}; the average where there is one head only. */
function chosenHead({ mean, heads }) {
  return state.head === null || !heads ? mean : heads[state.head % heads.length];
}

/** Returns a token's attention, on the map of its own level, whichever level is shown. */
function attentionOf(token) {
  const own = layer().levels[tokenAt(token).level];
  return unpackMap(bytes, chosenHead(own.attention), tokenAt(token).index, own.covered);
}

/** Returns the share of a token in what each pixel reads; null without a projector. */
function readsOf(token) {
  const { reads, tokens, covered } = level();
  return reads && unpackMap(bytes, chosenHead(reads), tokens.indexOf(token), covered);
}

/** Returns the grid of the shown feature map, of which the page may hold averages only. */
function grid() {
  const { cells: [rows, columns], covered } = level();
  return { rows, columns, covered };
}

function labelAt(point) {
  const { labels, classes } = data.prediction;
  if (!labels) return null;
  const [rows, columns] = labels.size;
  const { row, column } = cellAt(point, { rows, columns, covered: [data.height, data.width] });
  const at = labels.at + 2 * (row * columns + column);
  return classes[bytes[at] + 256 * bytes[at + 1]];
}

// ---- drawing -----------------------------------------------------------------------------------

// Canvases of cells with their maps. They are painted when a choice changes, and drawn when the
// point moves.
const painted = { panes: {}, thumbs: [] };

function paintThumbs() {
  painted.thumbs = level().tokens.map((token) => {
    const maps = [attentionOf(token), readsOf(token)].filter(Boolean);
    return maps.map((map) => [paintHeat(map, palette()), map]);
  });
}

function paintPanes() {
  const { tokens, reads } = level();
  const [looks, read] = painted.thumbs[tokens.indexOf(state.token)];
  painted.panes = { looks };
  if (!reads) return;
  const maps = tokens.map(readsOf);
  const colors = tokens.map((token) => tokenAt(token).color);
  Object.assign(painted.panes, { read, most: [paintArgmax(maps, colors), maps[0]] });
}

function drawPanes() {
  const opacity = element("opacity").value / 100;
  for (const id of ["image", "prediction", "looks", "read", "most"]) {
    const cells = painted.panes[id];
    const picture = pictures[id] ?? (cells && pictures.grey);
    if (!picture) continue;
    const drawn = drawPicture(element(id), picture, data, ...(cells ?? [null, null]), opacity);
    if (state.point) drawCellBox(drawn, state.point, grid());
  }
}

function drawThumbs() {
  const opacity = element("opacity").value / 100;
  painted.thumbs.forEach((thumbs, position) => {
    const canvases = cards()[position].querySelectorAll("canvas");
    thumbs.forEach((cells, i) => drawPicture(canvases[i], pictures.grey, data, ...cells, opacity));
  });
}

function drawRamps() {
  const stops = [0, 32, 64, 96, 128, 160, 192, 224, 255].map((i) => palette()[i])
    .map((color) => `rgb(${color & 255} ${color >> 8 & 255} ${color >> 16 & 255})`);
  for (const ramp of document.querySelectorAll(".ramp")) {
    ramp.style.background = `linear-gradient(to right, ${stops.join(", ")})`;
  }
}

// ---- the page follows the state: each step includes those below it ------------------------------

function showLayer() {
  const { levels } = layer();
  state.level = Math.min(state.level, levels.length - 1);
  fillSelect(element("level"), levels.map(({ name, cells }) => `${name}, ${cells[1]}×${cells[0]}`),
    state.level);
  const counts = levels.flatMap(({ attention, reads }) => [attention.heads, reads?.heads]);
  const heads = Math.max(...counts.map((list) => list?.length ?? 1));
  if (state.head >= heads) state.head = null;
  const single = heads > 1 ? Array.from({ length: heads }, (_, i) => `${i + 1} of ${heads}`) : [];
  fillSelect(element("head"), ["average", ...single], state.head === null ? 0 : state.head + 1);
  element("head").closest("label").hidden = heads < 2;
  showLevel();
}

function fillSelect(select, names, chosen) {
  select.replaceChildren(...names.map((name, i) => new Option(name, i, false, i === chosen)));
}

function showLevel() {
  const { name, tokens, reads } = level();
  if (!tokens.includes(state.token)) state.token = tokens[0];
  for (const figure of document.querySelectorAll(".needs-projector")) figure.hidden = !reads;
  element("no-projector").hidden = Boolean(reads);
  element("most-title").textContent = `Token most read by ${name}`;
  element("tokens").replaceChildren(...tokens.map(makeCard));
  element("resolution").textContent = describeResolution();
  showMaps();
}

function describeResolution() {
  const { name, cells, attention, reads } = level();
  const sides = ({ size: [, rows, columns] }) => `${columns}×${rows}`;
  const whole = `${cells[1]}×${cells[0]}`;
  const { mean, heads } = reads ?? attention;
  const notes = [`The feature map ${name} has ${whole} cells`];
  if (sides(mean) !== whole) notes.push(`the page holds averages over ${sides(mean)} areas`);
  if (heads && sides(heads[0]) !== sides(mean)) notes.push(`of single heads ${sides(heads[0])}`);
  return `${notes.join(", ")}. Values are kept in 255 steps between the ends of each scale.`;
}

function makeCard(token) {
  const { name, color, origin, isNew, inside } = tokenAt(token);
  const make = (tag, properties, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const radio = make("input", { type: "radio", name: "token", checked: token === state.token });
  radio.addEventListener("change", () => {
    state.token = token;
    showToken();
  });
  const chip = make("span", { className: "chip" });
  chip.style.background = color;
  const thumbs = [true, level().reads].filter(Boolean).map(() => make("canvas", {}));
  for (const canvas of thumbs) canvas.setAttribute("aria-hidden", "true");
  const card = make("label", { className: "token" }, radio, chip,
    make("span", { textContent: name }), make("span", { className: "share" }),
    make("span", { className: "thumbs" }, ...thumbs), make("small", {}));
  card.dataset.token = name;
  card.dataset.note = [
    isNew ? "" : `kept from layer ${origin[0]}, number ${origin[1]}`,
    inside < 0.995 ? `${percent(1 - inside)} of its attention is on the padding` : "",
  ].filter(Boolean).join("; ");
  return card;
}

function showMaps() {
  drawRamps();
  paintThumbs();
  drawThumbs();
  showToken();
}

function showToken() {
  const { name } = tokenAt(state.token);
  const reads = readsOf(state.token);
  element("looks-title").textContent = `Where ${name} looks`;
  element("looks-high").textContent = `${times(attentionOf(state.token).high)} uniform`;
  if (reads) {
    element("read-title").textContent = `${level().name} pixels that read ${name}`;
    element("read-low").textContent = percent(reads.low);
    element("read-high").textContent = percent(reads.high);
  }
  paintPanes();
  showPoint();
}

function showPoint() {
  const { tokens } = level();
  const found = [];
  tokens.forEach((token, position) => {
    const card = cards()[position];
    const reads = readsOf(token);
    const looks = state.point && valueAt(attentionOf(token), state.point);
    const share = state.point && reads && valueAt(reads, state.point);
    // The share in multiples of a uniform share; without a projector, the token's attention here.
    const strength = state.point ? (reads ? share * tokens.length : looks) : 0;
    card.classList.toggle("lit", strength > 1);
    card.style.setProperty("--light", strength > 1 ? Math.min(1, 0.2 + (strength - 1) * 0.8) : 0);
    card.querySelector(".share").textContent = share === null ? "" : percent(share);
    card.querySelector("small").textContent =
      [looks === null ? "" : `looks here ${times(looks)}`, card.dataset.note]
        .filter(Boolean).join("; ");
    if (strength > 1) {
      const value = reads ? percent(share) : times(looks);
      found.push({ strength, text: `${tokenAt(token).name} ${value}` });
    }
  });
  element("release").disabled = !state.held;
  element("readout").textContent =
    state.point ? describePoint(found) : "Point at a pixel, or pick a token.";
  drawPanes();
}

function describePoint(found) {
  const { x, y } = state.point;
  const { row, column } = cellAt(state.point, grid());
  const label = labelAt(state.point);
  const verb = level().reads ? "reads" : "is looked at by";
  const best = found.sort((a, b) => b.strength - a.strength).slice(0, 3).map(({ text }) => text);
  return [
    `Pixel ${Math.floor(x)}, ${Math.floor(y)}${state.held ? " (held)" : ""}`,
    label ? `predicted as ${label}` : "",
    `cell ${column}, ${row} of ${level().name} ${verb} ${best.join(", ") || "all uniformly"}`,
  ].filter(Boolean).join("; ");
}

// ---- what the reader does ----------------------------------------------------------------------

function pointAt(x, y) {
  state.point = {
    x: Math.min(Math.max(x, 0), data.width - 1e-3),
    y: Math.min(Math.max(y, 0), data.height - 1e-3),
  };
  showPoint();
}

function hold(held) {
  state.held = held && state.point !== null;
  showPoint();
}

function listenToPane(canvas) {
  const follow = (event) => {
    const box = canvas.getBoundingClientRect();
    pointAt(((event.clientX - box.left) / box.width) * data.width,
      ((event.clientY - box.top) / box.height) * data.height);
  };
  canvas.addEventListener("pointermove", (event) => {
    if (!state.held) follow(event);
  });
  canvas.addEventListener("click", (event) => {
    const before = state.held && JSON.stringify(cellAt(state.point, grid()));
    follow(event);
    hold(before !== JSON.stringify(cellAt(state.point, grid())));
  });
}

function listenToKeys(canvas) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    if (moves[event.key]) {
      // Arrow keys move between the centres of cells.
      const { rows, columns, covered: [height, width] } = grid();
      const start = state.point ?? { x: data.width / 2, y: data.height / 2 };
      const { row, column } = cellAt(start, grid());
      const [right, down] = moves[event.key].map((n) => n * (event.shiftKey ? 5 : 1));
      const clamp = (n, last) => Math.min(Math.max(n, 0), last);
      pointAt(((clamp(column + right, columns - 1) + 0.5) / columns) * width,
        ((clamp(row + down, rows - 1) + 0.5) / rows) * height);
    } else if (event.key === "Enter") {
      hold(!state.held);
    } else {
      return;
    }
    event.preventDefault();
  });
}

function listen() {
  const choose = (id, change) =>
    element(id).addEventListener("change", (event) => change(Number(event.target.value)));
  choose("layer", (number) => { state.layer = number; showLayer(); });
  choose("level", (number) => { state.level = number; showLevel(); });
  choose("head", (number) => { state.head = number ? number - 1 : null; showMaps(); });
  choose("palette", showMaps);
  const redraw = () => { drawThumbs(); drawPanes(); };
  element("opacity").addEventListener("input", redraw);
  new ResizeObserver(redraw).observe(element("main"));
  for (const id of ["image", "prediction", "looks", "read", "most"]) listenToPane(element(id));
  listenToKeys(element("image"));
  element("release").addEventListener("click", () => hold(false));
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") hold(false); });
}

// ---- start -------------------------------------------------------------------------------------

function showTop() {
  element("prediction").hidden = true;
  element("top").hidden = false;
  element("top").replaceChildren(...data.prediction.top.map(([name, probability]) => {
    const row = document.createElement("li");
    const value = document.createElement("span");
    value.textContent = percent(probability);
    row.append(name, value);
    return row;
  }));
}

async function start() {
  bytes = await inflate(fromBase64(element("maps").textContent.trim()));
  pictures.image = await decodePicture(data.image);
  pictures.grey = makeGrey(pictures.image);
  if (data.prediction.picture) pictures.prediction = await decodePicture(data.prediction.picture);
  else showTop();
  for (const [name, colors] of Object.entries(data.palettes)) {
    palettes[name] = unpackPalette(fromBase64(colors));
  }
  element("palette").replaceChildren(...Object.keys(palettes).map((name) => new Option(name)));
  fillSelect(element("layer"), data.layers.map(({ name }) => name), 0);
  element("main").hidden = false;
  showLayer();
  listen();
}

start().catch((error) => {
  element("problem").hidden = false;
  element("problem").textContent = "This browser cannot show the maps (they need " +
    `DecompressionStream, which browsers have since 2023): ${error.message}`;
});
