"use strict";
(() => {
  const root = document.documentElement;

  // Colours: those of the system until somebody presses the button; what was chosen is kept where the browser allows it.
  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const recall = () => { try { return localStorage.getItem("sprachbund-theme"); } catch { return null; } };
  const keep = (name) => { try { localStorage.setItem("sprachbund-theme", name); } catch { /* a page from disk may not */ } };
  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : system.matches);
  const show = () => theme.setAttribute("aria-pressed", String(isDark()));
  if (["light", "dark"].includes(recall())) root.dataset.theme = recall();
  theme.hidden = false;
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    keep(root.dataset.theme);
    show();
  });
  system.addEventListener("change", show);
  show();

  // Tables: each heading becomes a button that sorts; what is missing stands last in either order. A number that is shown
  // rounded has all its digits in data-value.
  const compare = (place, isNumber, sign) => (one, two) => {
    const [a, b] = [one, two].map((row) => row.cells[place].dataset.value ?? row.cells[place].textContent.trim());
    if (a === "" || b === "") return (a === "") - (b === "");
    return sign * (isNumber ? a - b : a.localeCompare(b, "en"));
  };
  const sortBy = (table, head) => {
    const isNumber = head.classList.contains("n");
    const first = isNumber ? "descending" : "ascending";
    const other = isNumber ? "ascending" : "descending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    for (const each of table.tHead.rows[0].cells) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compare(head.cellIndex, isNumber, order === "ascending" ? 1 : -1)));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    for (const head of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sortBy(table, head));
      head.append(button);
    }
  }

  // Filters: rows that hold all words stay.
  for (const tool of document.querySelectorAll("[data-filters]")) {
    const [field, said] = [tool.querySelector("input"), tool.querySelector("output")];
    const rows = [...document.getElementById(tool.dataset.filters).tBodies[0].rows];
    tool.hidden = false;
    field.addEventListener("input", () => {
      const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const row of rows) {
        const text = row.textContent.toLowerCase();
        row.hidden = !words.every((word) => text.includes(word));
      }
      const left = rows.filter((row) => !row.hidden).length;
      said.textContent = words.length ? `${left} of ${rows.length} rows` : "";
    });
  }

  // Locales: a link opens what it leads to; two buttons open and close all, for search; paper has all.
  const places = [...document.querySelectorAll("details.place")];
  const follow = () => {
    const target = document.getElementById(location.hash.slice(1)); // our ids hold nothing that an address would encode
    const around = target && target.closest("details");
    if (around) { around.open = true; target.scrollIntoView(); }
  };
  for (const button of document.querySelectorAll("button[data-open]")) {
    button.hidden = false;
    button.addEventListener("click", () => places.forEach((each) => { each.open = button.dataset.open === "all"; }));
  }
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = places.filter((each) => !each.open);
    opened.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => {
    opened.forEach((each) => { each.open = false; });
    opened = [];
  });
  addEventListener("hashchange", follow);
  follow();
})();
