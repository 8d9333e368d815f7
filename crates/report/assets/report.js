"use strict";
// What all scripts of the page share: the data, elements made without markup, numbers as words, and light and dark.
const Report = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const shortNames = new Map(data.models);
  const UNDEFINED = "–";

  // Text only ever becomes a text node: names come from files that anybody may have written.
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value === true) made.setAttribute(name, "");
      else if (value !== false && value !== undefined) made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  // A column of a table as an array; undefined if the table has none of that name.
  function column(table, name) {
    const found = table?.columns.find((column) => column.name === name);
    if (!found) return undefined;
    found.values ??=
      found.numbers ?? found.texts ?? found.codes?.map((code) => (code === null ? null : found.levels[code])) ??
      new Array(table.rows).fill(null);
    return found.values;
  }

  function format(value) {
    if (value === null || value === undefined) return UNDEFINED;
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value) && Math.abs(value) < 1e9) return String(value);
    const size = Math.abs(value);
    return size >= 1e-3 && size < 1e6 ? String(Number(value.toPrecision(4))) : value.toExponential(3);
  }

  const distinct = (values) => [...new Set(values)];
  const short = (name) => shortNames.get(name) ?? name;

  // A labelled choice; `changed` gets the new value.
  function choice(label, options, changed, chosen = options[0]?.[0]) {
    const select = element("select", { onchange: () => changed(select.value) },
      ...options.map(([value, text]) => element("option", { value, selected: value === chosen }, text)));
    return element("label", { class: "control" }, label + " ", select);
  }

  // A button that is either on or off.
  function toggle(text, on, changed) {
    const button = element("button", {
      type: "button",
      "aria-pressed": String(on),
      onclick: () => {
        const pressed = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(pressed));
        changed(pressed);
      },
    }, text);
    return button;
  }

  const listeners = [];
  const dark = () => {
    const set = document.documentElement.dataset.theme;
    return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  };
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function themeChanged() {
    document.getElementById("theme").textContent = dark() ? "Light" : "Dark";
    for (const listener of listeners) listener();
  }

  function store(theme) {
    try {
      if (theme) localStorage.setItem("model-diffs-theme", theme);
      return localStorage.getItem("model-diffs-theme");
    } catch {
      return null; // a browser may forbid it for files
    }
  }

  document.documentElement.dataset.script = "on";
  for (const hidden of document.querySelectorAll(".needs-script")) hidden.hidden = false;
  for (const part of document.querySelectorAll("[data-of]")) {
    if (part.dataset.of === "weights" ? !data.comparisons.length : !data.activations) part.remove();
  }
  const stored = store();
  if (stored === "dark" || stored === "light") document.documentElement.dataset.theme = stored;
  document.getElementById("theme").addEventListener("click", () => {
    document.documentElement.dataset.theme = store(dark() ? "light" : "dark") ?? (dark() ? "light" : "dark");
    themeChanged();
  });
  // Paper is light, and charts are drawn before the style of paper holds.
  let onScreen;
  addEventListener("beforeprint", () => {
    onScreen = document.documentElement.dataset.theme;
    document.documentElement.dataset.theme = "light";
    themeChanged();
  });
  addEventListener("afterprint", () => {
    if (onScreen) document.documentElement.dataset.theme = onScreen;
    else delete document.documentElement.dataset.theme;
    themeChanged();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);
  themeChanged();

  return { data, UNDEFINED, element, column, format, distinct, short, choice, toggle, dark, colour,
    onTheme: (listener) => listeners.push(listener) };
})();
