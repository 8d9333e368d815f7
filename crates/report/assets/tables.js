"use strict";
// Tables that sort and filter. Only the rows in view are in the document, so that ten thousand of them scroll well.
(() => {
  const { data, UNDEFINED, element, column, format, choice, toggle } = Report;

  // The columns to begin with; all others are a click away.
  const MAIN = {
    per_matrix: ["name", "layer", "component", "dW_fro_rel", "dW_stable_rank", "dW_spectral_rel", "changed_fraction", "dW_fro",
      "cosine_sim", "W_stable_rank"],
    per_layer: [],
    per_component: ["component", "count", "mean_dW_fro_rel", "max_dW_fro_rel", "mean_dW_stable_rank", "min_dW_stable_rank",
      "max_dW_stable_rank", "mean_changed_fraction"],
    ledger: ["name", "status", "reason", "selected", "layer", "component", "shape_a", "shape_b"],
    norms: ["model", "split", "layer", "site", "mean_norm", "mean_norm_lo", "mean_norm_hi", "tokens", "samples"],
    differences: ["model_a", "model_b", "layer", "split", "relative_diff", "relative_diff_lo", "relative_diff_hi", "mean_diff_l2",
      "mean_cosine"],
    summary: [],
  };
  const MEANING = {
    dW_fro: "‖ΔW‖ in the Frobenius norm", dW_fro_rel: "‖ΔW‖ / ‖W‖", dW_stable_rank: "‖ΔW‖² / σ₁(ΔW)², at least 1",
    W_stable_rank: "stable rank of W", Wb_stable_rank: "stable rank of the changed matrix", dW_spectral: "σ₁(ΔW)",
    dW_spectral_rel: "σ₁(ΔW) / σ₁(W)", cosine_sim: "cosine of W and Wb as vectors",
    changed_fraction: "share of the entries that differ, 0 to 1", mean_norm: "mean ‖h‖₂ over tokens",
    relative_diff: "mean ‖h_b − h_a‖₂ / ‖h_a‖₂", mean_diff_l2: "mean ‖h_b − h_a‖₂", mean_cosine: "mean cosine of h_a and h_b",
    sigma_tolerance: "relative width of the widest interval of a spectral norm", selected: "true: was to be compared",
    stop: "why the interval is as wide as it is", mean_dW_stable_rank: "mean over the changed matrices",
    dW_fro_layer_rel: "‖ΔW‖ / ‖W‖ of all matrices of the layer and group", count_mats: "matrices compared",
  };
  const FEW = 40; // so many different texts are offered as a list

  // Undefined last, whichever way.
  const sorter = (a, b, _a, _b, _column, direction) => {
    const last = direction === "asc" ? 1 : -1;
    if (a === null || b === null) return a === b ? 0 : a === null ? last : -last;
    return typeof a === "number" ? a - b : a < b ? -1 : a > b ? 1 : 0;
  };

  // ">0.1", "<= 5", "2..8", a number, or "–" for undefined; what cannot be read hides nothing.
  function numberFilter(wanted, value) {
    const said = wanted.trim().replace(/^-$/, UNDEFINED);
    if (said === UNDEFINED) return value === null;
    const range = said.split("..").map((end) => (end.trim() === "" ? NaN : Number(end)));
    if (range.length === 2 && !range.some(Number.isNaN)) return value !== null && value >= range[0] && value <= range[1];
    const [, sign, limit] = /^(<=|>=|<|>|=)?\s*(\S+)$/.exec(said) ?? [];
    const number = Number(limit);
    if (limit === undefined || Number.isNaN(number)) return true;
    if (value === null) return false;
    return { "<": value < number, ">": value > number, "<=": value <= number, ">=": value >= number }[sign] ?? value === number;
  }
  const textFilter = (wanted, value) => (value ?? UNDEFINED).toLowerCase().includes(wanted.toLowerCase());

  function listFilter(levels) {
    return (_cell, _rendered, success) => element("select", { "aria-label": "Filter", onchange: (event) => success(event.target.value) },
      element("option", { value: "" }, "all"), ...levels.map((level) => element("option", { value: level }, level)));
  }

  function columnsOf(table, main) {
    return table.columns.map((column, at) => {
      const meaning = MEANING[column.name] ?? "";
      const few = column.levels && column.levels.length <= FEW && column.levels.every((level) => level !== "");
      return {
        field: `c${at}`, title: column.name, sorter, visible: !main.length || main.includes(column.name),
        // A title, too, is text and no markup; a button, so that the keyboard sorts as the mouse does.
        titleFormatter: () => element("button", { type: "button", class: "sort", title: meaning },
          ...column.name.split("_").flatMap((word, at) => (at ? ["_", element("wbr"), word] : [word]))),
        formatter: (cell) => {
          const value = cell.getValue();
          if (value === null) return element("span", { class: "undefined", title: "undefined, which is not 0" }, UNDEFINED);
          return element("span", { title: String(value) }, format(value));
        },
        headerFilter: few ? listFilter(column.levels) : "input",
        headerFilterFunc: column.numeric ? numberFilter : few ? (wanted, value) => value === wanted : textFilter,
        headerFilterPlaceholder: column.numeric ? "> < .. –" : "contains",
        hozAlign: column.numeric ? "right" : "left", headerHozAlign: column.numeric ? "right" : "left",
        minWidth: column.name === "name" || column.name === "reason" ? 270 : column.numeric ? 104 : 110,
        widthGrow: column.name === "name" || column.name === "reason" ? 4 : 1,
      };
    });
  }

  // A table in `place`, with its search, columns and counts.
  function mount(place, name, table, label, sort) {
    const main = (MAIN[name] ?? []).filter((column) => table.columns.some((known) => known.name === column));
    const values = table.columns.map(({ name }) => column(table, name));
    const rows = Array.from({ length: table.rows }, (_, row) => {
      const made = { id: row };
      values.forEach((column, at) => { made[`c${at}`] = column[row]; });
      return made;
    });
    const area = element("div", { class: "table" });
    const shown = element("output", { class: "quiet" });
    const search = element("input", { type: "search", placeholder: "Search in all texts", "aria-label": `Search ${label}` });
    const columns = columnsOf(table, main);
    // Main columns in their own order, then the rest.
    const position = ({ title }) => (main.includes(title) ? main.indexOf(title) : main.length);
    columns.sort((a, b) => position(a) - position(b));
    const boxes = columns.map((definition) => {
      const box = element("input", { type: "checkbox", onchange: () => {
        box.checked ? grid.showColumn(definition.field) : grid.hideColumn(definition.field);
        grid.redraw(true);
      } });
      box.checked = definition.visible;
      return [definition, box, element("label", {}, box, definition.title)];
    });
    const showAll = (all) => {
      grid.blockRedraw();
      for (const [definition, box] of boxes) {
        box.checked = all || definition.visible;
        box.checked ? grid.showColumn(definition.field) : grid.hideColumn(definition.field);
      }
      grid.restoreRedraw();
      grid.redraw(true);
    };
    const texts = table.columns.flatMap((column, at) => (column.numeric ? [] : [`c${at}`]));
    const count = (number) => { shown.textContent = `${number} of ${table.rows} rows`; };
    place.replaceChildren(element("div", { class: "controls" }, search,
      ...(main.length && main.length < columns.length ? [toggle("All columns", false, showAll)] : []),
      element("details", { class: "columns-menu" }, element("summary", {}, "Columns"),
        element("div", {}, ...boxes.map(([, , box]) => box))),
      element("button", { type: "button", onclick: () => {
        search.value = "";
        grid.clearFilter(true);
        for (const select of area.querySelectorAll(".tabulator-header-filter select")) select.value = "";
      } }, "Clear filters"), shown), area);
    const sorted = sort && table.columns.findIndex((column) => column.name === sort);
    const grid = new Tabulator(area, {
      data: rows, columns, layout: "fitColumns", nestedFieldSeparator: false, index: "id",
      ...(table.rows > 14 ? { height: 520 } : {}), placeholder: "No row is left by the filters.",
      initialSort: sorted >= 0 ? [{ column: `c${sorted}`, dir: "desc" }] : [],
      columnDefaults: { headerSortTristate: true }, headerFilterLiveFilterDelay: 150,
    });
    let waiting;
    search.addEventListener("input", () => {
      clearTimeout(waiting);
      waiting = setTimeout(() => {
        const wanted = search.value.toLowerCase();
        grid.setFilter((row) => !wanted || texts.some((field) => row[field]?.toLowerCase().includes(wanted)));
      }, 120);
    });
    count(table.rows);
    grid.on("dataFiltered", (_, rows) => count(rows.length));
    return grid;
  }

  // One table at a time, chosen by buttons.
  const browser = document.getElementById("table-browser");
  const pairs = data.comparisons.map((pair, at) => [String(at), pair.label]);
  const offered = [
    ...(pairs.length ? [["per_matrix", "dW_fro_rel"], ["per_layer"], ["per_component"]] : []),
    ...["norms", "differences", "summary"].filter((name) => data.activations?.[name]).map((name) => [name]),
  ];
  const titles = { norms: "activation_norms", differences: "activation_diffs", summary: "activation_summary" };
  const state = { name: offered[0]?.[0], pair: 0 };
  const area = element("div", {});
  const show = () => {
    const ofPair = !(state.name in titles);
    const table = ofPair ? data.comparisons[state.pair][state.name] : data.activations[state.name];
    for (const [name, button] of buttons) button.setAttribute("aria-pressed", String(name === state.name));
    pairChoice.hidden = !ofPair || pairs.length < 2;
    mount(area, state.name, table, state.name, offered.find(([name]) => name === state.name)[1]);
  };
  const buttons = offered.map(([name]) => [name, element("button", { type: "button", "aria-pressed": "false",
    onclick: () => { state.name = name; show(); } }, titles[name] ?? name)]);
  const pairChoice = choice("Pair", pairs, (at) => { state.pair = Number(at); show(); });
  if (offered.length) {
    browser.append(element("div", { class: "controls" }, element("div", { class: "buttons", role: "group", "aria-label": "Table" },
      ...buttons.map(([, button]) => button)), pairChoice), area);
    show();
  }

  const ledger = document.getElementById("ledger-browser");
  if (ledger) {
    const area = element("div", {});
    const showLedger = (at) => mount(area, "ledger", data.comparisons[at].ledger, "ledger");
    if (pairs.length > 1) ledger.append(element("div", { class: "controls" }, choice("Pair", pairs, (at) => showLedger(Number(at)))));
    ledger.append(area);
    showLedger(0);
  }
  document.documentElement.dataset.ready = Math.round(performance.now());
})();
