"use strict";
// Charts of hidden states: mean norms of every model, and differences of pairs, with their bands; one chart a text or pair.
(() => {
  const { data, element, column, format, distinct, choice, toggle, short } = Report;
  const { Figure, base, tip, tooltip, valueAxis, layerAxis, band, look, text, tick, extent } = Report.charts;
  const place = document.getElementById("activation-charts");
  if (!place) return;

  // Rows of a table but for the extra site before the final norm, which has the last layer's number too.
  function rows(table) {
    const site = column(table, "site");
    return Array.from({ length: table.rows }, (_, at) => at).filter((at) => site?.[at] !== "pre_norm");
  }
  const get = (table, name) => column(table, name) ?? new Array(table.rows).fill(null);

  // Charts side by side with the same controls and the same range of values.
  function family(title, caption, items, metrics, linesOf) {
    const state = { metric: metrics[0].key, log: false };
    const metric = () => metrics.find(({ key }) => key === state.metric);
    const grid = element("div", { class: "side-by-side" });
    const controls = element("div", { class: "controls" });
    place.append(element("div", { class: "family" }, element("h3", {}, title), element("p", { class: "quiet" }, caption),
      controls, grid));
    const range = () => {
      const values = items.flatMap((item) => linesOf(item, metric()).flatMap(({ points }) => points.flatMap((p) => p.slice(1))))
        .filter((value) => value !== null && (!state.log || value > 0));
      if (!values.length) return {};
      const [low, high] = extent(values);
      const pad = (high - low) * 0.05 || Math.abs(high) * 0.05 || 1;
      return state.log ? { min: low / 1.1, max: high * 1.1 } : { min: low >= 0 && low < pad * 6 ? 0 : low - pad, max: high + pad };
    };
    const figures = items.map((item) => new Figure(grid, item.label, "", () => {
      const lines = linesOf(item, metric());
      const layers = distinct(lines.flatMap(({ points }) => points.map(([layer]) => layer))).sort((a, b) => a - b);
      const index = new Map(layers.map((layer, at) => [layer, at]));
      let skipped = 0;
      const series = lines.flatMap(({ name, points }, position) => {
        const { color, dash, symbol } = look(name, position);
        const values = new Array(layers.length).fill(null);
        const runs = [[]];
        for (const [layer, value, lower, upper] of points) {
          const shown = value !== null && (!state.log || value > 0);
          if (!shown) skipped += 1;
          else values[index.get(layer)] = { value, lower, upper };
          if (shown && lower !== null && upper !== null && (!state.log || lower > 0)) {
            runs.at(-1).push([index.get(layer), lower, upper]);
          } else runs.push([]);
        }
        const line = { type: "line", name, data: values, color, symbol, symbolSize: 6, showSymbol: layers.length <= 60,
          lineStyle: { color, width: 2, type: dash }, itemStyle: { color } };
        return [line, ...runs.filter((run) => run.length > 1).map((run) => band(name, run, color))];
      });
      const option = base(metric().name);
      Object.assign(option, {
        xAxis: layerAxis(layers.map(String), "layer (0: embeddings)"),
        yAxis: valueAxis(state.log, { ...range(), axisLabel: { ...text(), showMinLabel: !state.log && range().min === 0,
          showMaxLabel: false, formatter: tick } }),
        series,
        tooltip: tip((points) => tooltip(`layer ${points[0].axisValue}`, points
          .filter((point) => point.seriesType === "line" && point.data)
          .map(({ seriesName, color, data: { value, lower, upper } }) =>
            [seriesName, `${format(value)}${lower === null ? "" : ` (${format(lower)} to ${format(upper)})`}`, color]))),
      });
      return { option, note: skipped ? `Not drawn: ${skipped} values that are undefined or that a log axis cannot show.` : "" };
    }, 320));
    const show = () => figures.forEach((figure) => figure.show());
    controls.append(choice("Metric", metrics.map(({ key, name }) => [key, name]), (key) => { state.metric = key; show(); }),
      toggle("Log axis", false, (on) => { state.log = on; show(); }),
      element("button", { type: "button", onclick: show }, "Reset zoom"));
    show();
  }
  const available = (table, metrics) => metrics.filter(({ key, needs = [key] }) => needs.every((name) => column(table, name)));

  const { norms, differences } = data.activations;
  const [models, splits, layers] = ["model", "split", "layer"].map((name) => get(norms, name));
  family("Mean norm of hidden states", "A line for each model; bands are 95 % intervals over samples.",
    distinct(splits).map((split) => ({ label: `On ${split} text`, split })),
    available(norms, [{ key: "mean_norm", name: "mean ‖h‖₂" }, { key: "mean_norm_l1", name: "mean ‖h‖₁" },
      { key: "std_norm", name: "standard deviation of ‖h‖₂" }]),
    ({ split }, { key }) => distinct(models).map((model) => {
      const [value, lower, upper] = [key, `${key}_lo`, `${key}_hi`].map((name) => get(norms, name));
      const own = rows(norms).filter((at) => models[at] === model && splits[at] === split);
      return { name: short(model), points: own.map((at) => [layers[at], value[at], lower[at], upper[at]]) };
    }));

  if (differences?.rows) {
    const [a, b, split, layer] = ["model_a", "model_b", "split", "layer"].map((name) => get(differences, name));
    const pairOf = (at) => (a[at] === null ? "Model A and model B" : `${short(a[at])} → ${short(b[at])}`);
    const all = rows(differences);
    family("How far two models are apart, token by token", "A line for each text; bands are 95 % intervals over samples.",
      distinct(all.map(pairOf)).map((pair) => ({ label: pair, pair })),
      available(differences, [
        { key: "relative_diff", name: "relative_diff: mean ‖Δh‖ / ‖h_a‖" }, { key: "mean_diff_l2", name: "mean ‖Δh‖₂" },
        { key: "mean_diff_l1", name: "mean ‖Δh‖₁" }, { key: "mean_cosine", name: "mean cosine of h_a and h_b" },
        { key: "norm_change", name: "mean ‖h_b‖ − mean ‖h_a‖", needs: ["model_a_l2_norm", "model_b_l2_norm"] }]),
      ({ pair }, { key }) => distinct(split).map((name) => {
        const [before, after] = [get(differences, "model_a_l2_norm"), get(differences, "model_b_l2_norm")];
        const change = (at) => (before[at] === null || after[at] === null ? null : after[at] - before[at]);
        const [value, lower, upper] = [key, `${key}_lo`, `${key}_hi`].map((name) => get(differences, name));
        const own = all.filter((at) => pairOf(at) === pair && split[at] === name);
        return { name, points: own.map((at) => [layer[at], key === "norm_change" ? change(at) : value[at], lower[at], upper[at]]) };
      }));
  }
})();
