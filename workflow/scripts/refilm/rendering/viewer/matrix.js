/* The page of all films: search, order, and the change between it and the viewer by the hash of the address. */
"use strict";

(() => {
  const $ = (id) => document.getElementById(id);
  const rows = [...$("rows").rows];
  const heading = document.title;
  let opened = null; // the link that was followed

  const cells = (row) => [...row.querySelectorAll("[data-model]")];
  const ssim = (row, choose) => choose(...cells(row).filter((cell) => cell.dataset.ssim).map((cell) => Number(cell.dataset.ssim)));
  const ORDERS = {
    given: (a, b) => rows.indexOf(a) - rows.indexOf(b),
    title: (a, b) => a.dataset.title.localeCompare(b.dataset.title),
    closest: (a, b) => ssim(b, Math.max) - ssim(a, Math.max),
    farthest: (a, b) => ssim(a, Math.min) - ssim(b, Math.min),
    longest: (a, b) => b.dataset.seconds - a.dataset.seconds,
  };

  /* A reconstruction is shown where every word is in the title of its film or model. */
  function search() {
    const words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    let all = 0;
    for (const row of rows) {
      let found = 0;
      for (const cell of cells(row)) {
        const text = `${row.dataset.title} ${cell.dataset.model}`.toLowerCase();
        const match = words.every((word) => text.includes(word));
        cell.classList.toggle("hidden", !match && cell.dataset.model !== "");
        if (cell.dataset.model) found += match;
        if (cell.dataset.model) all += 1;
      }
      row.hidden = found === 0;
      count += found;
    }
    const number = (n) => n.toLocaleString("en");
    $("count").textContent = count === all ? `${number(all)} reconstructions` : `${number(count)} of ${number(all)} reconstructions`;
  }

  function sort() {
    $("rows").append(...rows.toSorted(ORDERS[$("order").value]));
  }

  function route() {
    const open = refilm.open(new URLSearchParams(location.hash.slice(1)).get("film"));
    $("films").hidden = open;
    if (open) return;
    $("viewer").hidden = true;
    refilm.close();
    document.title = heading;
    opened?.focus();
  }

  $("filter").addEventListener("submit", (event) => event.preventDefault());
  $("search").addEventListener("input", search);
  $("order").addEventListener("change", sort);
  $("rows").addEventListener("click", (event) => (opened = event.target.closest("a")));
  window.addEventListener("hashchange", route);
  search();
  route();
})();
