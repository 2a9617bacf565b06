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

function failed(error) {
  const text = `This part of the page could not be drawn (${error.message}). It needs a browser of 2023 or later.`;
  document.getElementById("main").prepend(element("p", { class: "missing", role: "alert" }, text));
}

// ---------------------------------------------------------------------------------------------------- theme

const drawn = [];
let kept = {}; // what the reader had chosen before the page reloaded itself

function themed() {
  const style = getComputedStyle(root);
  const [text, rule, panel] = ["--text", "--rule", "--panel"].map((name) => style.getPropertyValue(name).trim());
  const axis = { gridcolor: rule, zerolinecolor: rule, linecolor: rule, color: text };
  const solid = { ...axis, backgroundcolor: "rgba(0,0,0,0)", showbackground: false, tickfont: { size: 11 }, title: { font: { size: 12 } } };
  const layout = { font: { color: text, family: "system-ui, sans-serif", size: root.dataset.deck ? 15 : 12 }, xaxis: axis, yaxis: axis,
    hoverlabel: { bgcolor: panel, bordercolor: rule, font: { color: text } },
    polar: { angularaxis: axis, radialaxis: axis }, scene: { xaxis: solid, yaxis: solid, zaxis: solid } };
  return { layout, data: {} };
}

function setTheme(name) {
  root.dataset.theme = name;
  const button = document.getElementById("theme");
  if (button) button.textContent = name === "dark" ? "light" : "dark"; // what a press brings
  for (const figure of drawn) Plotly.relayout(figure.plot, { template: themed() });
}

function themes() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  setTheme(system.matches ? "dark" : "light");
  system.addEventListener("change", () => setTheme(system.matches ? "dark" : "light"));
  document.getElementById("theme").addEventListener("click", () => setTheme(root.dataset.theme === "dark" ? "light" : "dark"));
}
