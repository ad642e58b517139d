// Maps as they are stored in the page (see MapPack in map_packing.py), and drawing them. A map is
// {rows, columns, covered, steps, low, high}: one byte per cell, from `low` at 0 to `high` at 255;
// `covered` is the [height, width] in pixels of the image that its cells span.

/** Returns map number `index` of a packed entry {at, size, low, high}. */
function unpackMap(bytes, { at, size: [, rows, columns], low, high }, index, covered) {
  const start = at + index * rows * columns;
  const steps = bytes.subarray(start, start + rows * columns);
  return { rows, columns, covered, steps, low: low[index], high: high[index] };
}

/** Returns row and column of the map's cell that contains a pixel. */
function cellAt({ x, y }, { rows, columns, covered: [height, width] }) {
  return {
    row: Math.min(rows - 1, Math.floor((y / height) * rows)),
    column: Math.min(columns - 1, Math.floor((x / width) * columns)),
  };
}

function valueOf(map, cell) {
  return map.low + (map.steps[cell] / 255) * (map.high - map.low);
}

function valueAt(map, point) {
  const { row, column } = cellAt(point, map);
  return valueOf(map, row * map.columns + column);
}

/** Returns a colour as the canvas stores it: one number of four bytes. */
function packColor(red, green, blue) {
  return (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
}

/** Packs bytes red, green, blue, red, ... into colours. */
function unpackPalette(bytes) {
  const colors = new Uint32Array(bytes.length / 3);
  return colors.map((_, i) => packColor(...bytes.subarray(3 * i, 3 * i + 3)));
}

/** Returns a canvas of one pixel per cell; `color(i)` gives the packed colour of cell i. */
function paintCells({ rows, columns }, color) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [columns, rows];
  const pixels = new ImageData(columns, rows);
  const colors = new Uint32Array(pixels.data.buffer);
  for (let i = 0; i < colors.length; i++) colors[i] = color(i);
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** Paints a map in the 256 colours of a palette. */
function paintHeat(map, palette) {
  return paintCells(map, (i) => palette[map.steps[i]]);
}

/** Paints each cell in the colour, "#rrggbb", of its argmax over the maps. */
function paintArgmax(maps, colors) {
  const packed = colors.map((hex) =>
    packColor(...[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16))));
  return paintCells(maps[0], (i) => {
    let best = 0;
    for (let k = 1; k < maps.length; k++) {
      if (valueOf(maps[k], i) > valueOf(maps[best], i)) best = k;
    }
    return packed[best];
  });
}

/** Removes a picture's colours, which would mix with those laid over it. */
function makeGrey(picture) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [picture.naturalWidth, picture.naturalHeight];
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0);
  context.globalCompositeOperation = "saturation";
  context.fillStyle = "#888";
  context.fillRect(0, 0, canvas.width, canvas.height);
  return canvas;
}

/**
 * Draws a picture of `width` by `height` (of the network's input) at the resolution of the screen,
 * and `cells`, painted from `map`, over it. Returns the context and its pixels per input pixel.
 */
function drawPicture(canvas, picture, { width, height }, cells = null, map = null, opacity = 1) {
  const pixels = Math.max(1, Math.round(canvas.clientWidth * (window.devicePixelRatio || 1)));
  const scale = pixels / width;
  const size = [pixels, Math.max(1, Math.round(height * scale))];
  if (canvas.width !== size[0] || canvas.height !== size[1]) [canvas.width, canvas.height] = size;
  const context = canvas.getContext("2d");
  context.drawImage(picture, 0, 0, ...size);
  if (cells) {
    context.imageSmoothingEnabled = false;
    context.globalAlpha = opacity;
    context.drawImage(cells, 0, 0, map.covered[1] * scale, map.covered[0] * scale);
    context.globalAlpha = 1;
    context.imageSmoothingEnabled = true;
  }
  return { context, scale };
}

/** Draws a box around the cell of a feature map that contains a point. */
function drawCellBox({ context, scale }, point, grid) {
  const { row, column } = cellAt(point, grid);
  const width = (grid.covered[1] / grid.columns) * scale;
  const height = (grid.covered[0] / grid.rows) * scale;
  for (const [color, line] of [["#000", 4], ["#fff", 2]]) {
    context.strokeStyle = color;
    context.lineWidth = line * (window.devicePixelRatio || 1);
    context.strokeRect(column * width, row * height, width, height);
  }
}

const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

async function inflate(compressed) {
  const stream = new Blob([compressed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function decodePicture(url) {
  const picture = new Image();
  picture.src = url;
  await picture.decode();
  return picture;
}
