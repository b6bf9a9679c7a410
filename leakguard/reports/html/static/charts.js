// Draws the charts from the data that the document carries. Nothing of it becomes markup: canvas and textContent only.
"use strict";
var leakguard = (() => {
  const HEIGHT = 260;
  const drawn = new Map(); // by the kind of chart
  let lastData = "";

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const size = (mib) => (mib == null ? "–" : mib >= 1024 ? `${(mib / 1024).toFixed(2)} GiB` : `${mib.toFixed(mib < 10 ? 1 : 0)} MiB`);
  const ms = (value) => (value == null ? "–" : value >= 1000 ? `${(value / 1000).toFixed(value < 10000 ? 1 : 0)} s` : `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`);
  const moment = (seconds) => `${new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
  const utc = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");

  // 24 hours and UTC, with the day where it begins.
  function clock(u, splits, axis, space, step) {
    let day = "";
    return splits.map((at) => {
      const text = moment(at);
      const [now, shown] = [text.slice(0, 10), step < 60 ? text.slice(11, 19) : text.slice(11, 16)];
      if (step >= 86400) return now.slice(5);
      const first = now !== day;
      day = now;
      return first ? `${shown}\n${now}` : shown;
    });
  }

  const axes = (x, y) => {
    const common = { stroke: colour("soft"), font: "12px system-ui, sans-serif", grid: { stroke: colour("line"), width: 1 }, ticks: { show: false } };
    return [
      { ...common, grid: { show: false }, values: x ? (_, all) => all.map(x) : clock },
      { ...common, size: 72, values: (_, all) => all.map((value) => (value ? y(value) : value === 0 ? "0" : "")) },
    ];
  };
  const line = (label, name, more = {}) => ({ label, stroke: colour(name), width: 1.75, spanGaps: true, points: { show: false }, ...more });

  function dashed(u, at, along, name, label) {
    const { ctx, bbox } = u;
    const place = u.valToPos(at, along, true);
    const across = along === "x";
    const inside = across ? place >= bbox.left && place <= bbox.left + bbox.width : place >= bbox.top && place <= bbox.top + bbox.height;
    if (!inside) return;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour(name);
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.beginPath();
    if (across) { ctx.moveTo(place, bbox.top); ctx.lineTo(place, bbox.top + bbox.height); }
    else { ctx.moveTo(bbox.left, place); ctx.lineTo(bbox.left + bbox.width, place); }
    ctx.stroke();
    if (label) {
      ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "right";
      ctx.fillText(label, bbox.left + bbox.width - 4 * devicePixelRatio, place - 5 * devicePixelRatio);
    }
    ctx.restore();
  }

  function memory(data) {
    const columns = data.workers.map((worker) => {
      const column = new Array(data.at.length).fill(null);
      worker.values.forEach((value, place) => { column[worker.from + place] = value; });
      return column;
    });
    const marks = (u) => {
      for (const recycle of data.recycles) dashed(u, recycle.at, "x", "past");
      if (data.ceiling != null) dashed(u, data.ceiling, "y", "bad", `ceiling ${size(data.ceiling)}`);
      if (data.limit != null && data.limit !== data.ceiling) dashed(u, data.limit, "y", "soft", `limit ${size(data.limit)}`);
    };
    const read = (place) => {
      const at = data.at[place];
      const said = data.workers.map((worker, number) => [worker, columns[number][place]]).filter(([, value]) => value != null).map(([worker, value]) => `${worker.pid}: ${size(value)}`);
      const [from, to] = [data.at[place - 1] ?? -Infinity, data.at[place + 1] ?? Infinity];
      const recycled = data.recycles.filter((each) => each.at > from && each.at < to).map((each) => `recycled ${each.pid}: ${each.reason}`);
      return [moment(at), ...said.slice(0, 8), ...(said.length > 8 ? [`and ${said.length - 8} more`] : []), ...recycled.slice(0, 2)].join(" · ");
    };
    return {
      columns: [data.at, ...columns], read, time: true,
      series: data.workers.map((worker) => (worker.colour == null ? line(String(worker.pid), "past", { width: 1.25 }) : line(String(worker.pid), `c${worker.colour}`))),
      axes: axes(null, size), hooks: { draw: [marks] },
      range: (u, low, high) => [0, Math.max(high || 1, data.ceiling || 0) * 1.1],
    };
  }

  const QUANTILES = [["p50", "50 %", "c2"], ["p95", "95 %", "c0"], ["p99", "99 %", "c1"]];
  function quantiles(data, x, xSaid, time) {
    const labels = (u) => { // each line is named at its end: no legend to look up
      const { ctx, bbox } = u;
      ctx.save();
      ctx.font = `${12 * devicePixelRatio}px system-ui, sans-serif`;
      ctx.textAlign = "left";
      let above = Infinity;
      for (const [key, label, name] of [...QUANTILES].reverse().sort((a, b) => (data[a[0]].at(-1) ?? 0) - (data[b[0]].at(-1) ?? 0))) {
        const value = data[key].at(-1);
        if (value == null) continue;
        const place = Math.min(u.valToPos(value, "y", true), above - 14 * devicePixelRatio);
        above = place;
        ctx.fillStyle = colour(name);
        ctx.fillText(label, bbox.left + bbox.width + 6 * devicePixelRatio, place + 4 * devicePixelRatio);
      }
      ctx.restore();
    };
    return {
      columns: [x, ...QUANTILES.map(([key]) => data[key])], time, padding: [null, 44, null, null],
      read: (place) => [xSaid(x[place]), ...QUANTILES.map(([key, label]) => `${label}: ${ms(data[key][place])}`)].join(" · "),
      series: QUANTILES.map(([, label, name]) => line(label, name, { points: { show: !time || x.length < 40, size: 5, fill: colour(name) } })),
      axes: axes(time ? null : size, ms), hooks: { draw: [labels] },
      range: (u, low, high) => [0, (high || 1) * 1.1],
    };
  }

  const KINDS = {
    memory: (all) => memory(all.memory),
    times: (all) => quantiles(all.times, all.times.at, moment, true),
    against: (all) => quantiles(all.against, all.against.memory, (mib) => `at ${size(mib)}`, false),
  };

  function draw(place, plan) {
    const kind = place.dataset.chart;
    const readout = document.getElementById(`readout-${kind}`);
    const before = drawn.get(kind);
    const zoom = before && before.zoomed ? { ...before.plot.scales.x } : null;
    if (before) { before.plot.destroy(); before.watch.disconnect(); }
    place.textContent = "";
    if (plan.columns[0].length < 2) {
      drawn.delete(kind);
      readout.textContent = "Too few windows to draw yet.";
      return;
    }
    const state = { zoomed: Boolean(zoom) };
    state.plot = new uPlot({
      width: Math.max(place.clientWidth - 8, 200), height: HEIGHT, legend: { show: false }, tzDate: utc, padding: plan.padding,
      cursor: { y: false, drag: { x: true, y: false } },
      scales: { x: { time: plan.time }, y: { range: plan.range } },
      series: [{}, ...plan.series], axes: plan.axes,
      hooks: { ...plan.hooks, setCursor: [(u) => { readout.textContent = u.cursor.idx == null ? "" : plan.read(u.cursor.idx); }],
        setSelect: [(u) => { state.zoomed = u.select.width > 0; }] },
    }, plan.columns, place);
    if (zoom) state.plot.setScale("x", { min: zoom.min, max: zoom.max });
    state.plot.over.addEventListener("dblclick", () => { state.zoomed = false; });
    state.watch = new ResizeObserver(() => state.plot.setSize({ width: Math.max(place.clientWidth - 8, 200), height: HEIGHT }));
    state.watch.observe(place);
    drawn.set(kind, state);
  }

  // Arrow keys walk along a chart as the mouse does; the figures appear below it and are read out.
  function walk(event) {
    const place = event.target.closest("[data-chart]");
    const state = place && drawn.get(place.dataset.chart);
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -Infinity, End: Infinity }[event.key];
    if (!state || step === undefined) return;
    event.preventDefault();
    const last = state.plot.data[0].length - 1;
    const next = Math.min(Math.max((state.plot.cursor.idx ?? (step < 0 ? last + 1 : -1)) + step, 0), last);
    state.plot.setCursor({ left: state.plot.valToPos(state.plot.data[0][next], "x"), top: 0 });
  }

  function update(force) {
    const data = document.getElementById("series").textContent;
    if (data === lastData && !force) return;
    lastData = data;
    const all = JSON.parse(data);
    for (const place of document.querySelectorAll("[data-chart]")) draw(place, KINDS[place.dataset.chart](all));
  }

  document.addEventListener("keydown", walk);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => update(true));
  update(true);
  return { update };
})();
