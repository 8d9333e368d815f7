"use strict";
// What all charts share: colours, axes, tooltips, zoom by drag, slider and keys, and error bands.
Report.charts = (() => {
  const { element, colour, dark } = Report;

  // Okabe and Ito's palette, told apart with any kind of colour vision; order by contrast on the background.
  const LIGHT = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B37A00", "#3A9BDC", "#4D4D4D", "#8C7A00"];
  const DARK = ["#56B4E9", "#E69F00", "#2BC49A", "#E79AC6", "#F0E442", "#FF8A4C", "#C8C8C8", "#7FA8FF"];
  const DASHES = ["solid", [7, 4], [2, 3], [10, 4, 2, 4], [5, 2], [1, 2], [12, 4], [4, 6]];
  const SYMBOLS = ["circle", "rect", "triangle", "diamond", "emptyCircle", "emptyRect", "emptyTriangle", "emptyDiamond"];
  const FIXED = ["qkv", "proj", "mlp_expand", "mlp_contract", "lm_head", "embedding", "norm", "other"];
  const GROUPS = { attn: 0, mlp: 1, other: 6, forget: 0, retain: 1 };

  // The same thing has the same colour, dash and symbol in all charts.
  function look(name, position) {
    const fixed = GROUPS[name] ?? FIXED.indexOf(name);
    const at = (fixed >= 0 ? fixed : position) % LIGHT.length;
    return { color: (dark() ? DARK : LIGHT)[at], dash: DASHES[at], symbol: SYMBOLS[at] };
  }

  function tooltip(title, rows) {
    const line = ([label, value, color]) => element("div", { class: "tip-row" },
      color ? element("span", { class: "tip-mark", style: `background:${color}` }) : "",
      element("span", {}, label), element("b", {}, value));
    return element("div", { class: "tip" }, element("div", { class: "tip-title" }, title), ...rows.map(line));
  }

  const font = getComputedStyle(document.body).fontFamily;
  const text = () => ({ color: colour("quiet"), fontFamily: font, fontSize: 12 });
  const lines = () => ({ lineStyle: { color: colour("line") } });

  function tick(value) {
    const size = Math.abs(value);
    if (value === 0) return "0";
    return size >= 1e-3 && size < 1e5 ? String(Number(value.toPrecision(3))) : value.toExponential(0).replace("+", "");
  }

  const valueAxis = (log, more = {}) => ({
    type: log ? "log" : "value", scale: true, nameTextStyle: text(),
    axisLabel: { ...text(), formatter: tick, hideOverlap: true }, splitLine: { ...lines() }, axisLine: { show: false },
    axisTick: { show: false }, minorSplitLine: { show: false }, ...more,
  });
  const layerAxis = (layers, name = "layer") => ({
    type: "category", data: layers, name, nameLocation: "middle", nameGap: 26, nameTextStyle: text(),
    axisLabel: { ...text(), hideOverlap: true }, axisLine: lines(), axisTick: { show: false },
  });
  const slider = (axis) => ({
    type: "slider", [axis]: 0, height: 14, bottom: 8, brushSelect: false, showDetail: false, showDataShadow: false,
    borderColor: colour("line"), fillerColor: colour("veil"), handleStyle: { color: colour("card") },
    moveHandleSize: 4,
  });
  // What stands on the vertical axis is said above the chart, where it takes no width on a phone.
  const base = (vertical) => ({
    animation: false, textStyle: { fontFamily: font },
    title: { text: vertical, left: 0, top: 30, padding: 0, textStyle: { ...text(), fontWeight: "normal" } },
    aria: { enabled: true }, backgroundColor: "transparent",
    legend: { type: "scroll", top: 0, left: 0, right: 8, itemWidth: 28, textStyle: { ...text(), color: colour("text") },
      pageTextStyle: text(), pageIconColor: colour("text"), pageIconInactiveColor: colour("line") },
    grid: { left: 4, right: 18, top: 58, bottom: 62, containLabel: true },
    dataZoom: [slider("xAxisIndex"), { type: "inside", xAxisIndex: 0, zoomOnMouseWheel: "ctrl",
      moveOnMouseMove: false, moveOnMouseWheel: false, preventDefaultMouseMove: false }],
    toolbox: { show: true, right: -200, feature: { dataZoom: { yAxisIndex: "none", iconStyle: { opacity: 0 } } } },
  });
  const tip = (formatter, trigger = "axis") => ({
    trigger, formatter, confine: true, backgroundColor: colour("card"), borderColor: colour("line"), padding: 8,
    textStyle: { ...text(), color: colour("text") }, axisPointer: { lineStyle: { color: colour("quiet"), type: "dashed" } },
  });

  // Error bars from (index, lower, upper); a custom series, since lines have none.
  const whiskers = (name, points, color) => ({
    type: "custom", name, silent: true, data: points, z: 1, encode: { x: 0, y: [1, 2] }, itemStyle: { color },
    renderItem: (_, api) => {
      const [x, low] = api.coord([api.value(0), api.value(1)]);
      const high = api.coord([api.value(0), api.value(2)])[1];
      const style = { stroke: color, lineWidth: 1.2, opacity: 0.75 };
      const bar = (x1, y1, x2, y2) => ({ type: "line", shape: { x1, y1, x2, y2 }, style });
      return { type: "group", children: [bar(x, low, x, high), bar(x - 3, low, x + 3, low), bar(x - 3, high, x + 3, high)] };
    },
  });
  // A band between (index, lower, upper), piece by piece, so that a gap stays a gap.
  const band = (name, points, color) => ({
    type: "custom", name, silent: true, data: points.slice(1).map((point, at) => [...points[at], ...point]), z: 0,
    encode: { x: [0, 3], y: [1, 2, 4, 5] }, itemStyle: { color },
    renderItem: (_, api) => {
      const corner = (x, y) => api.coord([api.value(x), api.value(y)]);
      const points = [corner(0, 1), corner(3, 4), corner(3, 5), corner(0, 2)];
      if (points.flat().some(Number.isNaN)) return undefined;
      return { type: "polygon", shape: { points }, style: { fill: color, opacity: 0.18 } };
    },
  });

  const extent = (values) => values.reduce(([low, high], value) => [Math.min(low, value), Math.max(high, value)],
    [Infinity, -Infinity]);

  const all = [];
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) echarts.getInstanceByDom(target)?.resize();
  });

  // A figure whose controls call `draw`, which makes the option and may return a note to show below.
  class Figure {
    constructor(place, title, caption, draw, height = 340) {
      this.draw = draw;
      this.controls = element("div", { class: "controls" });
      this.note = element("p", { class: "quiet note-line", "aria-live": "polite" });
      this.area = element("div", { class: "chart", style: `height:${height}px`, tabindex: "0", role: "img" });
      this.reset = element("button", { type: "button", onclick: () => this.show() }, "Reset zoom");
      place.append(element("figure", { class: "card" }, element("figcaption", {}, element("h3", {}, title), caption),
        this.controls, this.area, this.note));
      this.area.addEventListener("keydown", (event) => this.key(event));
      resized.observe(this.area);
      all.push(this);
    }

    show() {
      this.chart ??= echarts.init(this.area, null, { renderer: "canvas" });
      const { option, note = "", height } = this.draw();
      if (height) this.area.style.height = `${height}px`;
      this.note.textContent = note;
      this.chart.resize();
      this.chart.setOption(option, { notMerge: true });
      // With a mouse, dragging over the chart zooms; fingers have the slider, and scroll the page.
      if (!matchMedia("(pointer: coarse)").matches) {
        this.chart.dispatchAction({ type: "takeGlobalCursor", key: "dataZoomSelect", dataZoomSelectActive: true });
      }
    }

    key(event) {
      const zoom = this.chart?.getOption().dataZoom?.[0];
      if (!zoom) return;
      const width = zoom.end - zoom.start;
      const step = { "+": [0.2, -0.2], "-": [-0.25, 0.25], ArrowLeft: [-0.2, -0.2], ArrowRight: [0.2, 0.2] }[event.key];
      if (event.key === "0") return this.show();
      if (!step) return;
      event.preventDefault();
      let [start, end] = [zoom.start + step[0] * width, zoom.end + step[1] * width];
      if (step[0] === step[1]) [start, end] = start < 0 ? [0, width] : end > 100 ? [100 - width, 100] : [start, end];
      this.chart.dispatchAction({ type: "dataZoom", start: Math.max(0, start), end: Math.min(100, end) });
    }
  }

  const showAll = () => all.forEach((figure) => figure.show());
  Report.onTheme(showAll);

  return { Figure, all, base, tip, tooltip, valueAxis, layerAxis, whiskers, band, look, text, tick, extent };
})();
