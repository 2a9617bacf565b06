// Clips: clean, perturbation and adversarial, in step; pixels exactly as they were stored.

function half(bits) { // float16 → number
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

async function decode(clip, arrays) {
  const wanted = [clip.clean, clip.delta, ...(clip.recorded ? [clip.recorded.pixels] : [])];
  const [clean, delta, recorded] = await Promise.all(wanted.map((number) => gunzip(arrays[number])));
  const view = new DataView(delta), count = clip.frames * clip.height * clip.width * 3;
  return { clean: new Uint8Array(clean), recorded: recorded && new Uint8Array(recorded), delta: Float32Array.from({ length: count }, (_, i) => half(view.getUint16(2 * i, true))) };
}

function paint(canvas, clip, value) {
  canvas.width = clip.width;
  canvas.height = clip.height;
  canvas.style.aspectRatio = `${clip.width} / ${clip.height}`;
  const image = new ImageData(clip.width, clip.height);
  for (let pixel = 0; pixel < clip.width * clip.height; pixel++) {
    for (let c = 0; c < 3; c++) image.data[4 * pixel + c] = value(3 * pixel + c); // clamped and rounded by its type
    image.data[4 * pixel + 3] = 255;
  }
  canvas.getContext("2d", { willReadFrequently: true }).putImageData(image, 0, 0); // written and read by the processor
}

function answers(list, top, label) {
  list.replaceChildren(...top.slice(0, 5).map(([name, p]) => {
    const item = element("li", name === label ? { class: "right" } : {}, `${(100 * p).toFixed(1)} % ${name}`);
    item.style.setProperty("--p", p);
    return item;
  }));
}

function player(holder, clips, arrays) {
  const part = (name) => holder.querySelector(`[data-part="${name}"]`);
  const scrub = part("scrub"), gain = part("gain"), play = part("play"), rate = part("rate"), loop = part("loop"), blink = part("blink"), scale = part("scale");
  const choices = ["video", "model", "attack"];
  let clip = null, pixels = null, frame = 0, timer = null, chosen = -1, blinking = null, showClean = false;

  function show() {
    if (!pixels) return;
    const start = frame * clip.width * clip.height * 3, k = Number(gain.value);
    paint(part("clean"), clip, (i) => pixels.clean[start + i]);
    if (clip.recorded) {
      const from = frame * clip.recorded.width * clip.recorded.height * 3;
      paint(part("recorded"), clip.recorded, (i) => pixels.recorded[from + i]);
    }
    paint(part("delta"), clip, (i) => 128 + k * pixels.delta[start + i]);
    paint(part("adversarial"), clip, (i) => pixels.clean[start + i] + (showClean ? 0 : pixels.delta[start + i]));
    part("shown").textContent = showClean ? "clean (blinking)" : "adversarial";
    scrub.value = frame;
    part("at").textContent = `${frame + 1} / ${clip.frames}`;
    part("times").textContent = part("gained").textContent = `×${k}`;
    scrub.setAttribute("aria-valuetext", `frame ${frame + 1} of ${clip.frames}`);
    [...part("spent").children].forEach((bar, at) => bar.classList.toggle("now", at === frame));
  }

  function go(to) { frame = (to + clip.frames) % clip.frames; show(); }
  const pressed = (button) => button.getAttribute("aria-pressed") === "true";
  const press = (button, on) => button.setAttribute("aria-pressed", String(on));

  function pause() { clearInterval(timer); timer = null; play.textContent = "play"; press(play, false); }

  function start() {
    clearInterval(timer);
    if (!pressed(loop) && frame === clip.frames - 1) go(0);
    timer = setInterval(() => (!pressed(loop) && frame === clip.frames - 1 ? pause() : go(frame + 1)), 1000 / Number(rate.value));
    play.textContent = "pause";
    press(play, true);
  }

  function toggleBlink() {
    clearInterval(blinking);
    const on = !pressed(blink);
    press(blink, on);
    showClean = on;
    blinking = on ? setInterval(() => { showClean = !showClean; show(); }, 500) : null;
    show();
  }

  function budget() {
    const most = Math.max(...clip.spent, 1e-9), peak = clip.spent.indexOf(Math.max(...clip.spent)) + 1;
    part("spent").replaceChildren(...clip.spent.map((value, at) => {
      const bar = element("i", { title: `frame ${at + 1}: ${value.toFixed(2)}/255` });
      bar.style.height = `${Math.max(4, (100 * value) / most)}%`;
      return bar;
    }));
    const told = `perturbation by frame, root mean square in 1/255: ${clip.spent.map((value) => value.toFixed(2)).join(", ")}; most in frame ${peak}`;
    part("spent").setAttribute("aria-label", told);
  }

  async function load(number) {
    if (number === chosen) return;
    chosen = number;
    const next = clips[number], found = await decode(next, arrays);
    if (chosen !== number) return; // another choice was made meanwhile
    clip = next;
    pixels = found;
    scrub.max = clip.frames - 1;
    part("about").textContent = clip.about;
    part("recording").hidden = scale.hidden = !clip.recorded;
    holder.style.setProperty("--share", clip.recorded ? clip.width / clip.recorded.width : 1);
    part("recorded-size").textContent = clip.recorded ? `${clip.recorded.width} × ${clip.recorded.height}` : "";
    part("size").textContent = `${clip.width} × ${clip.height}`;
    answers(part("clean-top"), clip.clean_top, clip.label);
    answers(part("adversarial-top"), clip.adversarial_top, clip.label);
    budget();
    go(Math.min(frame, clip.frames - 1));
    holder.dataset.ready = String(number);
  }

  function fill() { // only what exists together with the choices to the left of it
    for (const [at, name] of choices.entries()) {
      const fitting = clips.filter((one) => choices.slice(0, at).every((left) => one[left] === part(left).value));
      const values = [...new Set(fitting.map((one) => one[name]))], before = part(name).value;
      part(name).replaceChildren(...values.map((value) => element("option", { value }, value)));
      if (values.includes(before)) part(name).value = before;
    }
    return load(clips.findIndex((one) => choices.every((name) => one[name] === part(name).value)));
  }

  for (const name of choices) part(name).addEventListener("change", () => fill().catch(failed));
  play.addEventListener("click", () => { if (clip) (timer ? pause : start)(); });
  loop.addEventListener("click", () => press(loop, !pressed(loop)));
  blink.addEventListener("click", () => { if (clip) toggleBlink(); });
  scale.addEventListener("click", () => { press(scale, holder.classList.toggle("one-scale")); });
  rate.addEventListener("change", () => { if (timer) start(); });
  part("back").addEventListener("click", () => { if (clip) { pause(); go(frame - 1); } });
  part("forward").addEventListener("click", () => { if (clip) { pause(); go(frame + 1); } });
  scrub.addEventListener("input", () => { if (clip) { pause(); go(Number(scrub.value)); } });
  gain.addEventListener("input", show);
  holder.addEventListener("keydown", (event) => {
    const action = { " ": play, ArrowLeft: part("back"), ArrowRight: part("forward"), b: blink, B: blink }[event.key];
    if (!action || event.target !== holder || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action.click();
  });
  return fill();
}

function players() {
  const { arrays, clips } = json("clips-data");
  for (const holder of document.querySelectorAll("[data-player]")) player(holder, clips[Number(holder.dataset.player)], arrays).catch(failed);
}
