// Glue: tables become sortable (DataTables, of the bundle of itables), rates are shaded, sliders choose
// a picture, and a link to a job opens it.
(async () => {
  const held = window.tablesBundle;
  const tables = [...document.querySelectorAll("table.dataframe, table.measured")];
  if (!held || !tables.length) return;
  const text = (name) => new TextDecoder().decode(Uint8Array.from(atob(held[name]), (c) => c.charCodeAt(0)));
  document.head.append(Object.assign(document.createElement("style"), { textContent: text("style") }));
  const url = URL.createObjectURL(new Blob([text("script")], { type: "text/javascript" }));
  const { default: DataTable } = await import(url);
  URL.revokeObjectURL(url);
  document.documentElement.classList.toggle("dark", matchMedia("(prefers-color-scheme: dark)").matches);
  for (const table of tables) {
    const rows = table.tBodies[0] ? table.tBodies[0].rows.length : 0;
    if (!rows) continue;
    const long = rows > 60;
    new DataTable(table, {
      order: [], paging: long, pageLength: 50, info: long, autoWidth: false,
      layout: {
        topStart: { buttons: [{ extend: "csvHtml5", text: "CSV of what is shown", title: table.dataset.file || document.title }] },
        topEnd: rows > 8 ? { search: { text: "filter ", placeholder: "" } } : null,
        bottomStart: long ? "info" : null, bottomEnd: long ? "paging" : null,
      },
    });
  }
  document.documentElement.dataset.tables = "ready";
})();

// Rates, in the matrix: the darker, the more images withstand.
for (const table of document.querySelectorAll(".shaded table")) {
  const rates = [...table.tHead.rows[0].cells].map((cell) => !["budget", "images"].includes(cell.textContent.trim()));
  for (const row of table.tBodies[0].rows) {
    [...row.cells].forEach((cell, at) => {
      const value = Number(cell.textContent);
      if (!rates[at] || !cell.textContent.trim() || !(value >= 0 && value <= 1)) return;
      cell.classList.add("share-of");
      cell.style.setProperty("--share", value);
    });
  }
}

for (const slider of document.querySelectorAll("[data-slider]")) {
  const points = slider.closest("details").querySelectorAll("[data-point]");
  const show = () => points.forEach((point, at) => { point.hidden = at !== Number(slider.value); });
  slider.addEventListener("input", show);
}

const openTarget = () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target instanceof HTMLDetailsElement) { target.open = true; target.scrollIntoView(); }
};
addEventListener("hashchange", openTarget);
openTarget();
