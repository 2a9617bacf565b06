// The page of runs.

function contents() { // which section is being read
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      const link = links.get(entry.target.id);
      if (!link || !entry.isIntersecting) continue;
      for (const other of links.values()) other.removeAttribute("aria-current");
      link.setAttribute("aria-current", "true");
      link.parentElement.parentElement.scrollLeft = link.offsetLeft - 60;
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  for (const heading of document.querySelectorAll("section[id]")) seen.observe(heading);
}

themes();
contents();
document.getElementById("published").addEventListener("click", publish);
players();
figures().then((any) => { if (any) watch(); }).catch(failed);
