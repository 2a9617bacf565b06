// The deck: reveal.js presents, the figures are those of the page.

const printed = /print-pdf/i.test(location.search);

async function still(figure) { // a drawing for paper: lines stay lines, surfaces become pixels
  const { plot, spec } = figure, solid = spec.data.some((trace) => isSolid(trace) || trace.type === "contour");
  const size = { width: plot.clientWidth, height: plot.clientHeight };
  const address = await Plotly.toImage(plot, { format: solid ? "png" : "svg", scale: solid ? 2 : 1, ...size });
  Plotly.purge(plot);
  plot.replaceChildren(element("img", { src: address, alt: plot.getAttribute("aria-label"), ...size }));
}

async function print() {
  for (const holder of [...waiting.keys()]) {
    const figure = await drawNow(holder);
    if (figure) await still(figure);
  }
  root.dataset.printable = "true";
}

function show(slide) { // hidden slides have no size to draw into
  for (const holder of (slide || document).querySelectorAll("figure[data-figure]")) drawNow(holder);
}

function switches() { // the published numbers belong to the figures of a slide
  document.getElementById("published").hidden = !Reveal.getCurrentSlide().querySelector("figure");
}

function switchTheme() { setTheme(root.dataset.theme === "dark" ? "light" : "dark"); }

async function present() {
  setTheme(!printed && matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  const any = await figures();
  players();
  document.getElementById("published").addEventListener("click", publish);
  const keyboard = { 68: switchTheme, 80: publish }; // D, P
  await Reveal.initialize({ width: 1280, height: 720, margin: 0.02, hash: true, slideNumber: "c/t", transition: "none", center: true,
    pdfMaxPagesPerSlide: 1, pdfSeparateFragments: false, keyboard, plugins: [RevealNotes] });
  for (const input of document.querySelectorAll("input[type=range]")) input.addEventListener("pointerup", () => input.blur()); // arrows move slides again
  if (printed) return any ? print() : void (root.dataset.printable = "true");
  if (Reveal.isScrollView()) return watch();
  Reveal.on("slidechanged", (event) => { switches(); show(event.currentSlide); });
  switches();
  show(Reveal.getCurrentSlide());
}

present().catch(failed);
