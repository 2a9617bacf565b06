"use strict";
(() => {
  const root = document.documentElement;
  const json = (id) => JSON.parse(document.getElementById(id).textContent);
  const bytes = (base64) => Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));

  async function gunzip(base64) {
    const stream = new Blob([bytes(base64)]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).arrayBuffer();
  }

  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children); // strings become text, never markup
    return made;
  }

  // ------------------------------------------------------------------------------------------------ theme

  const drawn = [];

  function colours() {
    const style = getComputedStyle(root);
    const of = (name) => style.getPropertyValue(name).trim();
    return { text: of("--text"), rule: of("--rule"), panel: of("--panel") };
  }

  function themed() {
    const { text, rule, panel } = colours();
    const axis = { gridcolor: rule, zerolinecolor: rule, linecolor: rule, color: text };
    const solid = { ...axis, backgroundcolor: "rgba(0,0,0,0)", showbackground: false };
    const layout = { font: { color: text, family: "system-ui, sans-serif" }, xaxis: axis, yaxis: axis,
      hoverlabel: { bgcolor: panel, bordercolor: rule, font: { color: text } },
      scene: { xaxis: solid, yaxis: solid, zaxis: solid } };
    return { layout, data: {} };
  }

  function setTheme(name) {
    root.dataset.theme = name;
    document.getElementById("theme").textContent = name === "dark" ? "light" : "dark"; // what a press brings
    for (const figure of drawn) Plotly.relayout(figure.plot, { template: themed() });
  }

  const system = matchMedia("(prefers-color-scheme: dark)");
  setTheme(system.matches ? "dark" : "light");
  system.addEventListener("change", () => setTheme(system.matches ? "dark" : "light"));
  document.getElementById("theme").addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));

  // ---------------------------------------------------------------------------------------------- figures

  let published = false;

  const isPublished = (trace) => Boolean(trace.meta && trace.meta.published);
  const keyOf = (trace) => (trace.meta ? trace.meta.key : trace.name);

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

  const shapes = {
    circle: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", square: "M-4-4h8v8h-8z", diamond: "M0-5.5L5.5 0L0 5.5L-5.5 0z",
    "triangle-up": "M0-5L5 4H-5z", "triangle-down": "M0 5L5-4H-5z", x: "M-4-4L4 4M-4 4L4-4", cross: "M-5 0H5M0-5V5",
    star: "M0-6L1.5-2L6-2L2.4.8L3.7 5L0 2.5L-3.7 5L-2.4.8L-6-2L-1.5-2z",
  };

  const plain = element("textarea"); // plotly's names are escaped once: give back the text

  function unescaped(text) {
    plain.innerHTML = text;
    return plain.value;
  }

  function buildLegend(figure) {
    const theirs = figure.spec.data.filter(isPublished);
    const many = theirs.length > 4; // one line says it all: pressing a model also isolates its published curve
    for (const trace of figure.spec.data) {
      if (!trace.mode || trace.type === "scatter3d" || (many && isPublished(trace))) continue;
      const button = element("button", { type: "button", "data-key": keyOf(trace), "aria-pressed": "false" }, swatch(trace), unescaped(trace.name));
      button.addEventListener("click", () => {
        figure.alone = figure.alone === keyOf(trace) ? null : keyOf(trace);
        refresh(figure);
      });
      figure.legend.append(element("li", { "data-published": String(isPublished(trace)) }, button));
    }
    if (!many) return;
    const note = element("span", { class: "note" }, swatch(theirs[0]), "published (slides): the same symbols, hollow, grey and dashed");
    figure.legend.append(element("li", { "data-published": "true" }, note));
  }

  function buildSlider(figure) {
    const slider = (figure.spec.layout.sliders || [])[0];
    delete figure.spec.layout.sliders;
    if (!slider) return;
    const last = slider.steps.length - 1;
    const label = element("label");
    const input = element("input", { type: "range", min: 0, max: last, step: 1, value: slider.active, "aria-label": slider.currentvalue.prefix.trim() || "shown" });
    const output = element("output");
    const show = () => {
      const step = slider.steps[Number(input.value)];
      output.textContent = slider.currentvalue.prefix + step.label;
      input.setAttribute("aria-valuetext", step.label);
      return step;
    };
    input.addEventListener("input", () => Plotly.update(figure.plot, ...structuredClone(show().args)));
    show();
    label.append(output);
    figure.element.querySelector(".slide").append(label, input);
    if (last === 0) input.hidden = true;
  }

  function draw(holder, spec) {
    const plot = holder.querySelector(".plot");
    const figure = { element: holder, plot, spec, legend: holder.querySelector(".legend"), alone: null };
    spec.layout.showlegend = false;
    delete spec.layout.title;
    spec.layout.template = themed();
    if (!spec.data.some((trace) => trace.type === "surface")) spec.layout.margin = { l: 55, r: 15, t: 20, b: 50 };
    const eye = spec.layout.scene && spec.layout.scene.camera.eye;
    if (eye && plot.clientWidth < 400) for (const axis of ["x", "y", "z"]) eye[axis] *= 1.3; // room for the axes' titles
    buildSlider(figure);
    buildLegend(figure);
    if (spec.layout.xaxis2) spec.layout.xaxis2.visible = published;
    spec.data.forEach((trace) => { trace.visible = visible(figure, trace); });
    plot.classList.remove("waiting");
    const config = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["lasso2d", "select2d"] };
    return Plotly.newPlot(plot, spec.data, spec.layout, config).then(() => { drawn.push(figure); refresh(figure); });
  }

  const waiting = new Map(); // drawn when first near the window, so that the page opens at once
  let near = null;

  function watch() {
    near = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting || !waiting.has(entry.target)) continue;
        const spec = waiting.get(entry.target);
        waiting.delete(entry.target);
        near.unobserve(entry.target);
        draw(entry.target, spec);
      }
    }, { rootMargin: "600px" });
    for (const holder of waiting.keys()) near.observe(holder);
  }

  document.getElementById("published").addEventListener("click", (event) => {
    published = !published;
    event.target.setAttribute("aria-pressed", String(published));
    event.target.textContent = published ? "hide published numbers" : "show published numbers";
    root.dataset.published = String(published);
    drawn.forEach(refresh);
  });

  function readable() { // plotly reads its canvases back when it sets the text of 3-D axes: the browser would warn
    const getContext = HTMLCanvasElement.prototype.getContext;
    HTMLCanvasElement.prototype.getContext = function (kind, options) {
      return getContext.call(this, kind, kind === "2d" ? { willReadFrequently: true, ...options } : options);
    };
  }

  async function figures() {
    const specs = json("figures");
    for (const holder of document.querySelectorAll("figure[data-figure]")) waiting.set(holder, specs[holder.dataset.figure]);
    if (!waiting.size) return;
    const holder = document.getElementById("plotly");
    const code = new TextDecoder().decode(await gunzip(holder.textContent));
    holder.remove();
    readable();
    const script = document.createElement("script");
    script.textContent = code;
    document.head.append(script);
    watch();
  }

  // ------------------------------------------------------------------------------------------------ clips

  function half(bits) { // float16 → number
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  async function decode(clip) {
    const [clean, delta] = await Promise.all([gunzip(clip.clean), gunzip(clip.delta)]);
    const view = new DataView(delta), count = clip.frames * clip.height * clip.width * 3;
    return { clean: new Uint8Array(clean), delta: Float32Array.from({ length: count }, (_, i) => half(view.getUint16(2 * i, true))) };
  }

  function paint(canvas, clip, value) {
    canvas.width = clip.width;
    canvas.height = clip.height;
    const image = new ImageData(clip.width, clip.height);
    for (let pixel = 0; pixel < clip.width * clip.height; pixel++) {
      for (let c = 0; c < 3; c++) image.data[4 * pixel + c] = value(3 * pixel + c); // clamped and rounded by its type
      image.data[4 * pixel + 3] = 255;
    }
    canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0); // written and read by the processor
  }

  function answers(list, top, label) {
    list.replaceChildren(...top.map(([name, p]) => {
      const item = element("li", name === label ? { class: "right" } : {}, `${(100 * p).toFixed(1)} % ${name}`);
      item.style.setProperty("--p", p);
      return item;
    }));
  }

  function player(holder, clips) {
    const part = (name) => holder.querySelector(`[data-part="${name}"]`);
    const scrub = part("scrub"), gain = part("gain"), play = part("play"), choice = part("choice"), rate = part("rate");
    let clip = null, pixels = null, frame = 0, timer = null, chosen = 0;

    function show() {
      if (!pixels) return;
      const start = frame * clip.width * clip.height * 3, k = Number(gain.value);
      paint(part("clean"), clip, (i) => pixels.clean[start + i]);
      paint(part("delta"), clip, (i) => 128 + k * pixels.delta[start + i]);
      paint(part("adversarial"), clip, (i) => pixels.clean[start + i] + pixels.delta[start + i]);
      scrub.value = frame;
      part("at").textContent = `${frame + 1} / ${clip.frames}`;
      part("times").textContent = `×${k}`;
      scrub.setAttribute("aria-valuetext", `frame ${frame + 1} of ${clip.frames}`);
    }

    function go(to) { frame = (to + clip.frames) % clip.frames; show(); }

    function pause() { clearInterval(timer); timer = null; play.textContent = "play"; play.setAttribute("aria-pressed", "false"); }

    function start() {
      clearInterval(timer);
      timer = setInterval(() => go(frame + 1), 1000 / Number(rate.value));
      play.textContent = "pause";
      play.setAttribute("aria-pressed", "true");
    }

    async function load(number) {
      chosen = number;
      const next = clips[number], found = await decode(next);
      if (chosen !== number) return; // another choice was made meanwhile
      clip = next;
      pixels = found;
      scrub.max = clip.frames - 1;
      part("about").textContent = clip.about;
      answers(part("clean-top"), clip.clean_top, clip.label);
      answers(part("adversarial-top"), clip.adversarial_top, clip.label);
      go(0);
      holder.dataset.ready = String(number);
    }

    clips.forEach((one, number) => choice.append(element("option", { value: number }, one.title)));
    choice.addEventListener("change", () => load(Number(choice.value)));
    play.addEventListener("click", () => { if (clip) (timer ? pause : start)(); });
    rate.addEventListener("change", () => { if (timer) start(); });
    part("back").addEventListener("click", () => { if (clip) { pause(); go(frame - 1); } });
    part("forward").addEventListener("click", () => { if (clip) { pause(); go(frame + 1); } });
    scrub.addEventListener("input", () => { if (clip) { pause(); go(Number(scrub.value)); } });
    gain.addEventListener("input", show);
    return load(0);
  }

  function failed(error) {
    const text = `This part of the page could not be drawn (${error.message}). It needs a browser of 2023 or later.`;
    document.getElementById("main").prepend(element("p", { class: "missing", role: "alert" }, text));
  }

  const clips = json("clips");
  for (const holder of document.querySelectorAll("[data-player]")) player(holder, clips[Number(holder.dataset.player)]).catch(failed);
  figures().catch(failed);
})();
