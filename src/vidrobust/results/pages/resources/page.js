// The page of runs.

function contents() { // which part is being read: a function of where the page is, whatever led there
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const parts = [...document.querySelectorAll("section[id]")].filter((part) => links.has(part.id));
  let chosen = null, marked = null, asked = false; // the part that was jumped to, until the reader leaves it

  function current() {
    const line = parseFloat(getComputedStyle(root).scrollPaddingTop) + 24, most = root.scrollHeight - innerHeight;
    const atEnd = scrollY >= most - 2, top = chosen && chosen.getBoundingClientRect().top;
    if (chosen && top > -2 && (top <= line || (atEnd && top < innerHeight))) return chosen; // the last parts cannot reach the top
    chosen = null;
    const passed = parts.filter((part) => part.getBoundingClientRect().top <= line);
    return atEnd && most > 0 ? parts.at(-1) : passed.at(-1) || parts[0];
  }

  function mark() {
    asked = false;
    const part = current();
    if (!part || part === marked) return;
    if (marked) links.get(marked.id).removeAttribute("aria-current");
    marked = part;
    const link = links.get(part.id);
    link.setAttribute("aria-current", "true");
    link.parentElement.parentElement.scrollLeft = link.offsetLeft - 60;
  }

  function ask() { // once a frame, however often the page moves
    if (!asked) requestAnimationFrame(mark);
    asked = true;
  }

  function jumped() { // the browser has moved already
    chosen = document.getElementById(location.hash.slice(1));
    ask();
  }

  for (const link of links.values()) link.addEventListener("click", () => setTimeout(jumped)); // also to where it is already
  addEventListener("hashchange", jumped);
  addEventListener("scroll", ask, { passive: true });
  new ResizeObserver(ask).observe(document.body); // figures are drawn, parts are unfolded, the window changes
  if (location.hash) jumped(); else ask();
}

recall();
themes();
contents();
document.getElementById("published").addEventListener("click", publish);
resume();
follow();
players();
figures().then((any) => { if (any) watch(); }).catch(failed);
