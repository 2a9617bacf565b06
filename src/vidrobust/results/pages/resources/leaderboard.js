// A press on a heading sorts its table by that column: numbers by size, text by letters, again the other way.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    heading.firstElementChild.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const value = (row) => row.cells[column].dataset.sort;
      const order = (one, two) => {
        const [a, b] = [value(one), value(two)];
        const numbers = a !== "" && b !== "" && !isNaN(a) && !isNaN(b);
        return numbers ? a - b : a.localeCompare(b);
      };
      const rows = [...body.rows].sort((one, two) => (down ? -order(one, two) : order(one, two)));
      body.append(...rows);
    });
  });
}
