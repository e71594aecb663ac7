"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = heading.textContent;
    heading.replaceChildren(button);
    button.addEventListener("click", () => {
      const wasDown = heading.getAttribute("aria-sort") === "descending";
      const isNumber = heading.classList.contains("number");
      const down = isNumber ? !wasDown : heading.getAttribute("aria-sort") === "ascending";
      const value = (row) => {
        const cell = row.cells[column];
        return isNumber ? Number(cell.dataset.value ?? -Infinity) : cell.textContent;
      };
      const compare = (one, other) => (one < other ? -1 : one > other ? 1 : 0);
      const order = (a, b) => (isNumber ? compare(value(a), value(b)) : value(a).localeCompare(value(b)));
      body.append(...[...body.rows].sort((a, b) => (down ? order(b, a) : order(a, b))));
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
    });
  });
}
