// A page of a study that is running: reloads itself when it was written anew, and is read on where it was.

const KEPT = `vidrobust ${location.pathname}`;
function recall() {
  try {
    kept = JSON.parse(sessionStorage.getItem(KEPT)) || {};
    sessionStorage.removeItem(KEPT);
  } catch { /* a browser that stores nothing for files */ }
}

const folds = () => [...document.querySelectorAll("details")].map((fold) => [`${fold.closest("section")?.id} ${fold.querySelector("summary")?.textContent}`, fold]);

function remember() {
  const line = parseFloat(getComputedStyle(root).scrollPaddingTop) + 24;
  const part = [...document.querySelectorAll("section[id]")].findLast((one) => one.getBoundingClientRect().top <= line);
  const stops = Object.fromEntries(drawn.filter((figure) => figure.stop).map((figure) => [figure.element.dataset.name, figure.stop()]));
  const alone = Object.fromEntries(drawn.filter((figure) => figure.alone !== null).map((figure) => [figure.element.dataset.name, figure.alone]));
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({
      part: part && part.id, below: part ? part.getBoundingClientRect().top : -scrollY, theme: root.dataset.theme, published,
      open: folds().filter(([, fold]) => fold.open).map(([name]) => name), stops: { ...kept.stops, ...stops }, alone,
    }));
  } catch { /* then it is read on from the top */ }
}

function resume() {
  if (!("below" in kept)) return;
  if (kept.theme !== root.dataset.theme) setTheme(kept.theme);
  if (kept.published) publish();
  for (const [name, fold] of folds()) if (kept.open.includes(name)) fold.open = true;
  const place = () => {
    const part = kept.part && document.getElementById(kept.part);
    scrollTo({ top: (part ? part.getBoundingClientRect().top + scrollY : 0) - kept.below, behavior: "instant" });
  };
  place();
  addEventListener("load", place); // the browser has jumped to the address' part again
}

const SILENCE = 30e3; // milliseconds without a sign of life, which a study gives every five seconds

function follow() {
  const version = root.dataset.live;
  if (version === undefined) return;
  const [growing, stopped] = document.getElementById("live").children;
  let seen = false, sign, heard;
  function listen() {
    // A new sign counts from now, so that clocks which differ do not matter; the first one by its own time.
    if (window.vidrobustAlive !== sign) heard = sign === undefined ? 1000 * window.vidrobustAlive : Date.now();
    sign = window.vidrobustAlive;
    growing.hidden = Date.now() - heard > SILENCE;
    stopped.hidden = !growing.hidden;
    if (growing.hidden) stopped.querySelector("time").textContent = new Date(1000 * sign).toLocaleString();
  }
  history.scrollRestoration = "manual"; // where the reader was is another number of pixels from the top by then
  addEventListener("pagehide", remember);
  function look() {
    const script = element("script", { src: `live.js?${Date.now()}` });
    script.addEventListener("load", () => {
      script.remove();
      seen = true;
      listen();
      if (window.vidrobustVersion === version) setTimeout(look, 1000); else location.reload();
    });
    script.addEventListener("error", () => { // it is removed when the study has ended
      script.remove();
      if (seen) location.reload(); else document.getElementById("live").hidden = true;
    });
    document.head.append(script);
  }
  look();
}
