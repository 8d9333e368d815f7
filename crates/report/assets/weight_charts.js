"use strict";
// Charts of the weights: heat map, profile over layers, one point a matrix, and spectra.
(() => {
  const { data, UNDEFINED, element, column, format, distinct, choice, toggle, colour } = Report;
  const { Figure, base, tip, tooltip, valueAxis, layerAxis, whiskers, look, text, tick, extent } = Report.charts;
  const place = document.getElementById("weight-charts");
  if (!place) return;
  const OUTSIDE = "outside";
  const CIVIDIS = ["#00224E", "#123570", "#3B496C", "#575D6D", "#707173", "#8A8678", "#A59C74", "#C3B369", "#E1CC55", "#FEE838"];
  const METRICS = [
    ["relative", "‖ΔW‖ / ‖W‖, relative change"],
    ["frobenius", "‖ΔW‖, Frobenius norm"],
    ["spectral_relative", "σ₁(ΔW) / σ₁(W), largest"],
    ["stable_rank", "stable rank of ΔW"],
    ["rank_share", "stable rank / largest possible rank"],
    ["changed_share", "share of matrices changed"],
  ].filter(([key]) => data.comparisons.some((pair) => pair.by_component[key].some((value) => value !== null)));
  const metricName = (key) => METRICS.find(([metric]) => metric === key)[1];
  // A logarithmic axis is the better start where values differ much.
  const startsLog = (key, cells = data.comparisons.map((pair) => pair.by_component)) => {
    const [low, high] = extent(cells.flatMap((cells) => cells[key]).filter((value) => value > 0));
    return key !== "changed_share" && high > 10 * low;
  };

  const order = ["qkv", "proj", "mlp_expand", "mlp_contract", "lm_head", "embedding", "norm", "other", "attn", "mlp"];
  const byOrder = (a, b) => order.indexOf(a) - order.indexOf(b) || (a < b ? -1 : 1);
  const inside = distinct(data.comparisons.flatMap((pair) => pair.by_component.layer))
    .filter((layer) => layer !== null).sort((a, b) => a - b).map(String);
  const hasOutside = data.comparisons.some((pair) => pair.by_component.layer.includes(null));
  const layers = hasOutside ? [...inside, OUTSIDE] : inside;
  const layerOf = (layer) => (layer === null ? OUTSIDE : String(layer));
  const pairs = data.comparisons.map((pair, at) => [String(at), pair.label]);

  function cellRows(cells, at) {
    const value = ([key, name]) => [name, format(cells[key][at])];
    const range = `${format(cells.stable_rank_lower[at])} to ${format(cells.stable_rank_upper[at])}`;
    return [...METRICS.filter(([key]) => key !== "changed_share").map(value), ["stable rank, lowest to highest", range],
      ["changed matrices", `${cells.changed[at]} of ${cells.matrices[at]}`]];
  }

  // Heat maps, one a pair, with one colour scale, so that pairs can be compared by eye.
  const heat = { metric: METRICS[0][0], log: startsLog(METRICS[0][0]) };
  const logToggle = (state, redraw) => toggle("Log scale", state.log, (on) => { state.log = on; redraw(); });
  const heatPlace = element("div", {});
  place.append(heatPlace);
  const heatRange = () => {
    const values = data.comparisons.flatMap((pair) => pair.by_component[heat.metric]).filter((value) => value !== null);
    const shown = values.filter((value) => value > 0).map((value) => (heat.log ? Math.log10(value) : value));
    const [low, high] = extent(shown);
    return shown.length ? [low === high ? low - 0.5 : low, low === high ? high + 0.5 : high] : [0, 1];
  };
  const heatMaps = data.comparisons.map((pair) => {
    const cells = pair.by_component;
    const names = distinct(cells.name).sort(byOrder).reverse();
    const draw = () => {
      const [min, max] = heatRange();
      const known = new Map(cells.layer.map((layer, at) => [`${layerOf(layer)}/${cells.name[at]}`, at]));
      const kinds = { value: [], zero: [], undefined: [] };
      for (const layer of layers) for (const name of names) {
        const at = known.get(`${layer}/${name}`);
        if (at === undefined) continue;
        const value = cells[heat.metric][at];
        if (value === null) kinds.undefined.push([layer, name, 0, at]);
        else if (!(value > 0)) kinds.zero.push([layer, name, 0, at]);
        else kinds.value.push([layer, name, heat.log ? Math.log10(value) : value, at]);
      }
      const border = { borderColor: colour("card"), borderWidth: layers.length > 40 ? 0 : 1.5 };
      const mark = (label, cells, color) => ({
        type: "heatmap", name: label, data: cells, itemStyle: { ...border, color }, labelLayout: { hideOverlap: true },
        label: { show: layers.length <= 40, formatter: label, color: colour("quiet"), fontSize: 10 },
        visualMap: false, progressive: 0,
      });
      const option = base("");
      Object.assign(option, {
        legend: undefined, title: undefined,
        grid: { left: 4, right: 12, top: 8, bottom: 104, containLabel: true },
        xAxis: layerAxis(layers), yAxis: { type: "category", data: names, axisLabel: { ...text(), interval: 0 },
          axisLine: { show: false }, axisTick: { show: false } },
        tooltip: tip(({ data: [layer, name, , at] }) => tooltip(`${name}, layer ${layer}`, cellRows(cells, at)), "item"),
        visualMap: { type: "continuous", seriesIndex: 0, dimension: 2, min, max, calculable: true, orient: "horizontal", left: "center",
          bottom: 30, itemWidth: 12, itemHeight: 150, textStyle: text(), precision: 6,
          formatter: (value) => tick(heat.log ? 10 ** value : value),
          inRange: { color: CIVIDIS } },
        series: [
          { type: "heatmap", data: kinds.value, itemStyle: border, progressive: 0,
            emphasis: { itemStyle: { borderColor: colour("text"), borderWidth: 1.5 } } },
          mark("0", kinds.zero, colour("zero")), mark(UNDEFINED, kinds.undefined, colour("undefined")),
        ],
      });
      const notes = [kinds.zero.length && `${kinds.zero.length} cells are 0 (unchanged), plain`,
        kinds.undefined.length && `${kinds.undefined.length} are undefined (${UNDEFINED}), grey`].filter(Boolean);
      return { option, note: notes.length ? `${notes.join("; ")}.` : "", height: 124 + 26 * names.length };
    };
    return new Figure(heatPlace, `Where: ${pair.label}`,
      element("p", { class: "quiet" }, "Layers from left to right, components from top to bottom."), draw);
  });
  const redrawHeat = () => heatMaps.forEach((figure) => figure.show());
  const heatLog = logToggle(heat, redrawHeat);
  if (heatMaps.length) {
    heatMaps[0].controls.append(choice("Colour", METRICS, (metric) => {
      heat.metric = metric;
      heat.log = startsLog(metric);
      heatLog.setAttribute("aria-pressed", String(heat.log));
      redrawHeat();
    }), heatLog, element("button", { type: "button", onclick: redrawHeat }, "Reset zoom"));
  }

  // Profile over layers: a line a component, a group, or a pair.
  const profile = { metric: METRICS[0][0], log: false, by: "by_component", pair: 0, only: "" };
  const profileLines = () => {
    if (profile.by === "by_layer") return data.comparisons.map((pair) => [pair.label, pair.by_layer, pair.label]);
    const cells = data.comparisons[profile.pair][profile.by];
    const names = distinct(cells.name).sort(byOrder);
    return names.filter((name) => !profile.only || name === profile.only).map((name) => [name, cells, name]);
  };
  const profileFigure = new Figure(place, "Profile over layers",
    element("p", { class: "quiet" }, "Drag over the chart or use the slider to zoom; with the keyboard + − ← → and 0."),
    () => {
      const categories = hasOutside && profile.by !== "by_layer" ? [...inside, "", OUTSIDE] : inside;
      let zeros = 0;
      let missing = 0;
      const series = profileLines().flatMap(([label, cells, name], position) => {
        const { color, dash, symbol } = look(name, position);
        const values = new Array(categories.length).fill(null);
        const bars = [];
        cells.layer.forEach((layer, at) => {
          if (cells.name[at] !== name) return;
          const index = categories.indexOf(layerOf(layer));
          const value = cells[profile.metric][at];
          if (value === null) missing += 1;
          else if (profile.log && !(value > 0)) zeros += 1;
          else values[index] = { value, at };
          if (profile.metric === "stable_rank" && cells.stable_rank_lower[at] !== null) {
            bars.push([index, cells.stable_rank_lower[at], cells.stable_rank_upper[at]]);
          }
        });
        const line = { type: "line", name: label, data: values, color, symbol, symbolSize: inside.length > 40 ? 4 : 7,
          lineStyle: { color, width: 2, type: dash }, itemStyle: { color }, connectNulls: false };
        return bars.length ? [line, whiskers(label, bars, color)] : [line];
      });
      const option = base(metricName(profile.metric));
      Object.assign(option, {
        xAxis: layerAxis(categories), yAxis: valueAxis(profile.log), series,
        tooltip: tip((points) => tooltip(`layer ${points[0].axisValue}`, points
          .filter((point) => point.seriesType === "line" && point.data)
          .map((point) => [point.seriesName, format(point.data.value), point.color]))),
      });
      const notes = [zeros && `${zeros} unchanged (0), which a logarithmic axis cannot show`,
        missing && `${missing} undefined (${UNDEFINED})`].filter(Boolean);
      return { option, note: notes.length ? `Not drawn: ${notes.join("; ")}.` : "" };
    });
  const redraw = () => profileFigure.show();
  const profileLog = logToggle(profile, redraw);
  const chooseScale = () => {
    const shown = profile.by === "by_layer" ? data.comparisons.map((pair) => pair.by_layer)
      : [data.comparisons[profile.pair][profile.by]];
    profile.log = startsLog(profile.metric, shown);
    profileLog.setAttribute("aria-pressed", String(profile.log));
  };
  const onlyChoice = element("span", {});
  const offerOnly = () => {
    profile.only = "";
    const names = profile.by === "by_layer" ? [] : distinct(data.comparisons[profile.pair][profile.by].name).sort(byOrder);
    onlyChoice.replaceChildren(...(names.length > 1
      ? [choice("Show", [["", "all"], ...names.map((name) => [name, name])], (only) => { profile.only = only; redraw(); })]
      : []));
  };
  chooseScale();
  offerOnly();
  profileFigure.controls.append(
    choice("Metric", METRICS, (metric) => {
      profile.metric = metric;
      chooseScale();
      redraw();
    }),
    ...(pairs.length > 1 ? [choice("Pair", pairs, (at) => { profile.pair = Number(at); chooseScale(); offerOnly(); redraw(); })] : []),
    choice("Lines", [["by_component", "components"], ["by_group", "groups"], ["by_layer", "pairs, all matrices of a layer"]],
      (by) => { profile.by = by; chooseScale(); offerOnly(); redraw(); }),
    onlyChoice, profileLog, profileFigure.reset);

  // One point a matrix: how large against how low-rank, where tables tell both.
  const tells = ({ per_matrix }) => column(per_matrix, "dW_fro_rel") && column(per_matrix, "dW_stable_rank");
  if (data.comparisons.some(tells)) {
    const points = { by: pairs.length > 1 ? "pair" : "component", logX: true, logY: true };
    const pointsFigure = new Figure(place, "Every changed matrix: size and stable rank",
      element("p", { class: "quiet" }, "Left: few directions, like a spike or a low-rank adapter. Right: spread over many."),
      () => {
        const series = new Map();
        let left = 0;
        data.comparisons.forEach(({ label, per_matrix }) => {
          const of = (name) => column(per_matrix, name) ?? new Array(per_matrix.rows).fill(null);
          const [rank, relative, component] = [of("dW_stable_rank"), of("dW_fro_rel"), of("component")];
          const [name, layer] = [of("name"), of("layer")];
          rank.forEach((x, at) => {
            const y = relative[at];
            if (x === null || y === null || !(y > 0)) return void (left += 1);
            const key = points.by === "pair" ? label : component[at] ?? "other";
            if (!series.has(key)) series.set(key, []);
            series.get(key).push({ value: [x, y], name: name[at], layer: layer[at], pair: label, component: component[at] });
          });
        });
        const keys = points.by === "pair" ? [...series.keys()] : [...series.keys()].sort(byOrder);
        const option = base("‖ΔW‖ / ‖W‖");
        option.legend.itemWidth = 14;
        Object.assign(option, {
          xAxis: valueAxis(points.logX, { name: "stable rank of ΔW", nameLocation: "middle", nameGap: 26,
            min: points.logX ? 0.8 : 0, axisLabel: { ...text(), showMinLabel: !points.logX, formatter: tick } }),
          yAxis: valueAxis(points.logY),
          tooltip: tip(({ data: point }) => tooltip(point.name, [["pair", point.pair], ["component", format(point.component)],
            ["layer", format(point.layer)], ["stable rank of ΔW", format(point.value[0])],
            ["‖ΔW‖ / ‖W‖", format(point.value[1])]]), "item"),
          series: keys.map((key, position) => {
            const { color, symbol } = look(key, position);
            return { type: "scatter", name: key, data: series.get(key), symbol, symbolSize: 8,
              itemStyle: { color, opacity: 0.7 }, progressive: 4000 };
          }),
        });
        const note = left ? `Not drawn: ${left} matrices without a stable rank (${UNDEFINED}), as unchanged ones are.` : "";
        return { option, note };
      });
    pointsFigure.controls.append(
      choice("Colour", [["component", "component"], ["pair", "pair"]], (by) => { points.by = by; pointsFigure.show(); }, points.by),
      toggle("Log rank", true, (on) => { points.logX = on; pointsFigure.show(); }),
      toggle("Log size", true, (on) => { points.logY = on; pointsFigure.show(); }), pointsFigure.reset);
  }

  // Spectra, where singular values were kept.
  const withSpectra = data.comparisons.filter((pair) => pair.spectra?.spectra.length);
  if (withSpectra.length) {
    const all = withSpectra.flatMap((pair) => distinct(pair.spectra.spectra.map((spectrum) => spectrum.name))
      .map((name) => ({ pair, name })));
    const state = { at: 0, log: true, logIndex: false };
    const figure = new Figure(place, "Spectrum of ΔW",
      element("p", { class: "quiet" }, "Singular values, largest first. A steep fall is a change of low rank."), () => {
        const { pair, name } = all[state.at];
        const option = base("singular value σ");
        const spectra = pair.spectra.spectra.filter((spectrum) => spectrum.name === name);
        Object.assign(option, {
          xAxis: valueAxis(state.logIndex, { name: "index of the singular value", nameLocation: "middle", nameGap: 26,
            min: "dataMin", max: "dataMax" }),
          yAxis: valueAxis(state.log),
          tooltip: tip((points) => tooltip(`index ${points[0].data[0]}`, points.filter((point) => point.seriesType === "line")
            .map((point) => [point.seriesName, `${format(point.data[1])} (${format(point.data[2])} to ${format(point.data[3])})`,
              point.color]))),
          series: spectra.map((spectrum, position) => {
            const { color, dash, symbol } = look(spectrum.operator, position);
            const data = spectrum.index.map((index, at) =>
              [index, spectrum.value[at], spectrum.lower[at], spectrum.upper[at]]).filter(([, value]) => !state.log || value > 0);
            return { type: "line", name: spectrum.operator === "dW" ? "ΔW" : spectrum.operator, data, color, symbol, symbolSize: 5,
              lineStyle: { color, width: 2, type: dash }, itemStyle: { color } };
          }),
        });
        const more = withSpectra.some((pair) => pair.spectra.matrices > distinct(pair.spectra.spectra.map((s) => s.name)).length);
        return { option, note: more ? "Only the matrices that changed most are here; the table singular_values has all." : "" };
      });
    figure.controls.append(
      choice("Matrix", all.map(({ pair, name }, at) => [String(at), pairs.length > 1 ? `${name}, ${pair.label}` : name]),
        (at) => { state.at = Number(at); figure.show(); }),
      toggle("Log σ", true, (on) => { state.log = on; figure.show(); }),
      toggle("Log index", false, (on) => { state.logIndex = on; figure.show(); }), figure.reset);
  }
  Report.charts.all.forEach((figure) => figure.show());
})();
