// Figures: drawn when first near the window, with a slider, a legend that isolates, and their data as CSV.

let published = false;

const isPublished = (trace) => Boolean(trace.meta && trace.meta.published);
const keyOf = (trace) => (trace.meta ? trace.meta.key : trace.name);
const isSolid = (trace) => trace.type === "surface" || trace.type === "scatter3d";

function visible(figure, trace) {
  if (isPublished(trace) && !published) return false;
  return figure.alone === null || keyOf(trace) === figure.alone;
}

function refresh(figure) {
  Plotly.restyle(figure.plot, { visible: figure.spec.data.map((trace) => visible(figure, trace)) });
  const top = figure.spec.layout.xaxis2;
  if (top) Plotly.relayout(figure.plot, { "xaxis2.visible": published, "margin.t": published ? 50 : 20 });
  for (const item of figure.legend.children) {
    item.hidden = item.dataset.published === "true" && !published;
    const button = item.querySelector("button");
    if (!button) continue;
    button.setAttribute("aria-pressed", String(figure.alone === button.dataset.key));
    item.classList.toggle("off", figure.alone !== null && figure.alone !== button.dataset.key);
  }
}

const shapes = {
  circle: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", square: "M-4-4h8v8h-8z", diamond: "M0-5.5L5.5 0L0 5.5L-5.5 0z",
  "triangle-up": "M0-5L5 4H-5z", "triangle-down": "M0 5L5-4H-5z", x: "M-4-4L4 4M-4 4L4-4", cross: "M-5 0H5M0-5V5",
  star: "M0-6L1.5-2L6-2L2.4.8L3.7 5L0 2.5L-3.7 5L-2.4.8L-6-2L-1.5-2z",
};

function swatch(trace) {
  const line = trace.line || {}, marker = trace.marker || {};
  const colour = (trace.mode === "markers" ? marker.color : line.color) || marker.color || "currentColor";
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("class", "swatch"); svg.setAttribute("viewBox", "0 0 26 14"); svg.setAttribute("aria-hidden", "true");
  const add = (tag, attributes) => {
    const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
    svg.append(shape);
  };
  if (trace.mode.includes("lines")) {
    const dash = { dash: "6 3", dot: "2 2" }[line.dash] || "none";
    add("line", { x1: 0, x2: 26, y1: 7, y2: 7, stroke: colour, "stroke-width": 2.5, "stroke-dasharray": dash });
  }
  const symbol = Array.isArray(marker.symbol) ? marker.symbol[0] : marker.symbol;
  if (trace.mode.includes("markers")) add("path", { d: shapes[(symbol || "circle").replace("-open", "")] || shapes.circle,
    fill: (symbol || "").endsWith("-open") ? "none" : colour, stroke: colour, "stroke-width": 1.5, transform: "translate(13 7)" });
  return svg;
}

const plain = element("textarea"); // plotly's names are escaped once: give back the text

function unescaped(text) {
  plain.innerHTML = text;
  return plain.value;
}

function buildLegend(figure) {
  if (figure.spec.data.some((trace) => isSolid(trace) || trace.type === "contour")) return;
  const theirs = figure.spec.data.filter(isPublished), ours = new Set(figure.spec.data.filter((trace) => !isPublished(trace)).map(keyOf));
  const many = theirs.length > 4; // one line says it all: pressing a model also isolates its published curve
  const note = (text) => figure.legend.append(element("li", { "data-published": "true" }, element("span", { class: "note" }, swatch(theirs[0]), text)));
  const entry = (trace, name) => {
    const button = element("button", { type: "button", "data-key": keyOf(trace), "aria-pressed": "false" }, swatch(trace), name);
    button.addEventListener("click", () => {
      figure.alone = figure.alone === keyOf(trace) ? null : keyOf(trace);
      refresh(figure);
    });
    figure.legend.append(element("li", { "data-published": String(isPublished(trace)) }, button));
  };
  for (const trace of figure.spec.data) if (trace.mode && !(many && isPublished(trace))) entry(trace, unescaped(trace.name));
  if (!many) return;
  if (theirs.some((trace) => ours.has(keyOf(trace)))) note("published (slides) of these: the same symbols, hollow, grey and dashed");
  const others = theirs.filter((trace) => !ours.has(keyOf(trace)));
  if (others.length) note("published (slides) of other models:");
  for (const trace of others) entry(trace, keyOf(trace));
}

// what stands beside a drawing follows it: caption, words for screen readers, and the table of this stop
function describe(figure, step) {
  const { alt, caption } = step.args[1].meta;
  figure.plot.setAttribute("aria-label", alt);
  const below = figure.element.querySelector("figcaption");
  if (below) below.textContent = caption;
  for (const part of figure.element.parentElement.children) if (part.dataset.stop !== undefined) part.hidden = part.dataset.stop !== step.label;
}

function buildSlider(figure) {
  const slider = (figure.spec.layout.sliders || [])[0];
  delete figure.spec.layout.sliders;
  figure.states = slider ? slider.steps : [];
  if (!slider) return;
  const last = slider.steps.length - 1, link = figure.element.dataset.link;
  const label = element("label");
  const input = element("input", { type: "range", min: 0, max: last, step: 1, value: slider.active, "aria-label": slider.currentvalue.prefix.trim() || "shown" });
  const output = element("output");
  const show = () => {
    const step = slider.steps[Number(input.value)];
    output.textContent = slider.currentvalue.prefix + step.label;
    input.setAttribute("aria-valuetext", step.label);
    describe(figure, step);
    return step;
  };
  const move = () => { // the drawing, then all that stands beside it
    const step = show();
    Plotly.update(figure.plot, ...structuredClone(step.args));
    return step;
  };
  figure.stop = () => slider.steps[Number(input.value)].label;
  figure.slideTo = (wanted) => { // the same figure of another run was moved
    const at = slider.steps.findIndex((step) => step.label === wanted);
    if (at < 0 || at === Number(input.value)) return;
    input.value = at;
    move();
  };
  input.addEventListener("input", () => {
    const step = move();
    for (const other of drawn) if (other !== figure && link && other.element.dataset.link === link && other.slideTo) other.slideTo(step.label);
  });
  show();
  label.append(output);
  figure.element.querySelector(".slide").append(label, input);
  if (last === 0) input.hidden = true;
}

// ------------------------------------------------------------------------------------------------------ CSV

const kinds = { f8: Float64Array, f4: Float32Array, i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array, i4: Int32Array, u4: Uint32Array };

function numbers(value) { // plotly's packed arrays → arrays
  if (!value || !value.bdata) return value || [];
  const flat = Array.from(new kinds[value.dtype](bytes(value.bdata).buffer));
  if (!value.shape) return flat;
  const columns = Number(String(value.shape).split(",")[1]);
  return Array.from({ length: flat.length / columns }, (_, row) => flat.slice(row * columns, (row + 1) * columns));
}

function gridRows(trace) {
  const [x, y, z, shares] = [trace.x, trace.y, trace.z, trace.customdata].map(numbers);
  return y.flatMap((alpha, row) => x.map((step, column) => [alpha, step, z[row][column], shares.length ? shares[row][column] : ""]));
}

function curveRows(trace, state, moved) {
  const of = (name) => numbers(moved && moved[name] !== undefined ? moved[name] : name.split(".").reduce((at, key) => (at || {})[key], trace));
  const [x, y, plus, minus] = [of(trace.theta ? "theta" : "x"), of(trace.theta ? "r" : "y"), of("error_y.array"), of("error_y.arrayminus")];
  const words = (value) => (typeof value === "string" ? unescaped(value.replaceAll("<br>", " ")) : value);
  return x.map((value, at) => [unescaped(trace.name), state, words(value), y[at],
    plus[at] === undefined ? "" : y[at] - minus[at], plus[at] === undefined ? "" : y[at] + plus[at]]);
}

function csv(figure) {
  const { data, layout } = figure.spec, title = (axis) => (layout[axis] && layout[axis].title ? layout[axis].title.text : "");
  const grid = data.find((trace) => trace.type === "surface" || trace.type === "contour");
  const rows = grid ? [["alpha", "iterations", "mean loss", "accuracy"], ...gridRows(grid)]
    : [["series", "shown", title("xaxis") || "attack", layout.polar ? "accuracy (%)" : title("yaxis"), "low 95 %", "high 95 %"]];
  const states = figure.states.length ? figure.states : [{ label: "", args: [{}] }];
  if (!grid) for (const state of states) data.forEach((trace, at) => {
    const moved = Object.fromEntries(Object.entries(state.args[0]).map(([name, values]) => [name, values[at]]));
    rows.push(...curveRows(trace, state.label, moved));
  });
  const cell = (value) => (value === null || value === undefined ? "" : typeof value === "number" ? String(value)
    : `"${String(value).replaceAll('"', '""').replace(/^[=+@-]/, "'$&")}"`); // no name is a formula for a spreadsheet
  return rows.map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
}

function offer(name, text) {
  const address = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 1000);
}

function buildTools(figure) {
  const tools = figure.element.querySelector(".tools");
  if (!tools) return;
  const button = element("button", { type: "button", class: "csv", "aria-label": `data as CSV: ${figure.element.dataset.name}` }, "data as CSV");
  button.addEventListener("click", () => offer(`${figure.element.dataset.name.replace(/[^\w.-]+/g, "-")}.csv`, csv(figure)));
  tools.prepend(button);
}

// ------------------------------------------------------------------------------------------------- 3-D hover

// Plotly finds the point under the pointer by reading pixels back, which stalls the graphics processor and makes
// browsers complain in the console. The grid is small, so the point is computed here instead.

function quiet() {
  const read = WebGLRenderingContext.prototype.readPixels;
  WebGLRenderingContext.prototype.readPixels = function (...arguments_) {
    if (this.getParameter(this.FRAMEBUFFER_BINDING) === null) read.apply(this, arguments_); // "download as PNG" still may
  };
  const getContext = HTMLCanvasElement.prototype.getContext; // the same for the text of 3-D axes
  HTMLCanvasElement.prototype.getContext = function (kind, options) {
    return getContext.call(this, kind, kind === "2d" ? { willReadFrequently: true, ...options } : options);
  };
}

const times = (matrix, v) => [0, 1, 2, 3].map((row) => v.reduce((sum, value, column) => sum + matrix[4 * column + row] * value, 0));

function nearest(scene, rows, x, y) {
  const { model, view, projection } = scene.glplot.cameraParams, scale = scene.dataScale;
  let best = null;
  for (const row of rows) {
    const [alpha, step, loss] = row;
    const [px, py, depth, w] = times(projection, times(view, times(model, [step * scale[0], alpha * scale[1], loss * scale[2], 1])));
    const away = Math.hypot((px / w + 1) / 2 - x.at, ((1 - py / w) / 2 - y.at) * (y.size / x.size)) * x.size;
    const score = away + 20 * (depth / w); // of two points in one place, the one in front
    if (away < 20 && (!best || score < best.score)) best = { row, score };
  }
  return best && best.row;
}

function hover3d(figure) {
  const surface = figure.spec.data.find((trace) => trace.type === "surface");
  if (!surface) return;
  const rows = gridRows(surface), tip = element("div", { class: "tip", hidden: "" });
  figure.plot.append(tip);
  figure.plot.addEventListener("pointermove", (event) => {
    const scene = figure.plot._fullLayout.scene && figure.plot._fullLayout.scene._scene;
    const canvas = figure.plot.querySelector("canvas");
    if (!scene || !scene.glplot || !scene.glplot.cameraParams || !canvas) return;
    const box = canvas.getBoundingClientRect(), around = figure.plot.getBoundingClientRect();
    const found = event.buttons ? null : nearest(scene, rows, { at: (event.clientX - box.left) / box.width, size: box.width },
      { at: (event.clientY - box.top) / box.height, size: box.height });
    tip.hidden = !found;
    if (!found) return;
    const [alpha, step, loss, share] = found;
    tip.textContent = `α = ${alpha.toPrecision(3)}, ${step} iterations: loss ${loss.toFixed(3)}` + (share === "" ? "" : `, accuracy ${(100 * share).toFixed(1)} %`);
    const zoom = around.width / figure.plot.offsetWidth || 1; // a slide may be scaled
    tip.style.left = `${Math.min((event.clientX - around.left) / zoom + 12, figure.plot.offsetWidth - 190)}px`;
    tip.style.top = `${(event.clientY - around.top) / zoom + 16}px`;
  });
  figure.plot.addEventListener("pointerleave", () => { tip.hidden = true; });
}

// -------------------------------------------------------------------------------------------------- drawing

// plotly's own "responsive" listens to the window: it misses a figure that is hidden, or half drawn, when that changes
const sizes = new ResizeObserver((entries) => {
  for (const { target, contentRect: { width, height } } of entries) {
    const { width: wide, height: high } = target._fullLayout;
    if (width && (Math.abs(width - wide) > 1 || Math.abs(height - high) > 1)) Plotly.Plots.resize(target).catch(failed);
  }
});

function draw(holder, spec) {
  const plot = holder.querySelector(".plot");
  const figure = { element: holder, plot, spec, legend: holder.querySelector(".legend"), alone: null };
  spec.layout.showlegend = false;
  delete spec.layout.title;
  spec.layout.template = themed();
  const solid = spec.data.some(isSolid), flat = spec.data.some((trace) => trace.type === "contour");
  if (spec.layout.polar) spec.layout.margin = { l: 70, r: 70, t: 40, b: 40 };
  else if (!solid) spec.layout.margin = root.dataset.deck ? { l: 75, r: 15, t: flat ? 70 : 20, b: 60 } : { l: 55, r: 15, t: flat ? 60 : 20, b: 50 };
  const eye = spec.layout.scene && spec.layout.scene.camera.eye;
  if (eye && plot.clientWidth < 400) for (const axis of ["x", "y", "z"]) eye[axis] *= 1.3; // room for the axes' titles
  buildSlider(figure);
  buildLegend(figure);
  buildTools(figure);
  if (spec.layout.xaxis2) spec.layout.xaxis2.visible = published;
  const first = spec.data.map((trace) => ({ ...trace, visible: visible(figure, trace) }));
  plot.classList.remove("waiting");
  const config = { displaylogo: false, displayModeBar: "hover", modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  return Plotly.newPlot(plot, first, spec.layout, config).then(() => {
    drawn.push(figure);
    const { alone = {}, stops = {} } = kept, name = holder.dataset.name;
    if (figure.spec.data.some((trace) => keyOf(trace) === alone[name])) figure.alone = alone[name];
    if (figure.slideTo && stops[name] !== undefined) figure.slideTo(stops[name]);
    refresh(figure);
    hover3d(figure);
    sizes.observe(plot);
    return figure;
  });
}

const waiting = new Map(); // drawn when first near the window, so that the page opens at once

function drawNow(holder) {
  const spec = waiting.get(holder);
  waiting.delete(holder);
  return spec ? draw(holder, spec).catch(failed) : Promise.resolve();
}

function watch() {
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      near.unobserve(entry.target);
      drawNow(entry.target);
    }
  }, { rootMargin: "600px" });
  for (const holder of waiting.keys()) near.observe(holder);
}

function publish() {
  published = !published;
  const button = document.getElementById("published");
  button.setAttribute("aria-pressed", String(published));
  button.textContent = published ? "hide published numbers" : "show published numbers";
  root.dataset.published = String(published);
  for (const figure of drawn) if (figure.spec.data.some(isPublished)) refresh(figure);
}

async function figures() { // true where there is something to draw
  const specs = json("figures-data");
  for (const holder of document.querySelectorAll("figure[data-figure]")) waiting.set(holder, specs[holder.dataset.figure]);
  if (!waiting.size) return false;
  const holder = document.getElementById("plotly-code");
  const code = new TextDecoder().decode(await gunzip(holder.textContent));
  holder.remove();
  quiet();
  const script = document.createElement("script");
  script.textContent = code;
  document.head.append(script);
  return true;
}
