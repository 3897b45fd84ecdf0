"use strict";
// Draws what the server sends. Text from the program goes in as text, never as HTML.
const LIGHT = ["#0072B2", "#B34700", "#007A59", "#A6427F", "#8A6100", "#2F7FB8", "#6B6B00", "#333333"];
const DARK = ["#56B4E9", "#F2955A", "#2FC79E", "#E3A0C4", "#E69F00", "#8CC8F0", "#F0E442", "#CCCCCC"];
const runs = new Map(), charts = new Map();
let selected = null, chosen = false, order = ["run", 1], pending = false;
const $ = (id) => document.getElementById(id);
const dark = matchMedia("(prefers-color-scheme: dark)");
const shown = (v) => v == null ? "" : Number.isInteger(v) ? String(v)
  : Math.abs(v) >= 1e5 || Math.abs(v) < 1e-3 ? v.toExponential(2) : v.toFixed(4);

function make(tag, text, parent) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

function take(news) {
  for (const item of news) {
    const run = runs.get(item.run) || { points: [] };
    const points = item.restarts ? item.points : run.points.concat(item.points);
    runs.set(item.run, { ...item, points });
    if (selected === null) selected = item.run;
  }
  // What is shown stays as long as it trains, or for ever once the reader has chosen it.
  const next = chosen || runs.get(selected)?.state === "training" ? null : [...runs.values()].findLast((run) => run.state === "training");
  if (next) selected = next.run;
  if (!pending) { pending = true; requestAnimationFrame(draw); }
}

function cell(run, name) {
  return name in run ? run[name] : run.latest[name];
}

function drawTable() {
  const metrics = [...new Set([...runs.values()].flatMap((run) => Object.keys(run.latest)))];
  const names = ["name", "state", "epochs", "seconds", ...metrics];
  if ($("columns").dataset.names !== names.join()) {
    $("columns").dataset.names = names.join();
    $("columns").replaceChildren();
    for (const name of names) {
      const head = make("th", undefined, $("columns"));
      head.scope = "col"; head.dataset.name = name;
      make("button", name, head).onclick = () => {
        order = [name, order[0] === name ? -order[1] : 1];
        drawTable();
      };
    }
  }
  for (const head of $("columns").children)
    head.ariaSort = head.dataset.name === order[0] ? (order[1] > 0 ? "ascending" : "descending") : "none";
  const sorted = [...runs.values()].sort((a, b) => {
    const x = cell(a, order[0]), y = cell(b, order[0]);
    if (x == null || y == null) return (x == null) - (y == null);
    return order[1] * (x < y ? -1 : x > y ? 1 : a.run - b.run);
  });
  const focused = document.activeElement?.dataset?.run;
  $("runs").replaceChildren();
  for (const run of sorted) {
    const row = make("tr", undefined, $("runs"));
    if (run.run === selected) row.ariaSelected = "true";
    for (const name of names) {
      const value = cell(run, name), box = make("td", undefined, row);
      if (name !== "name") { box.textContent = typeof value === "string" ? value : name === "seconds" ? value.toFixed(2) : shown(value); continue; }
      const button = make("button", value, box);
      button.dataset.run = run.run;
      // The table is made anew while a finger is down, so a click would be lost; the keyboard only clicks.
      button.onpointerdown = button.onclick = () => { selected = run.run; chosen = true; $("bars").replaceChildren(); draw(); };
      if (focused === String(run.run)) button.focus();
    }
  }
}

function panels(run) {
  const found = new Map();
  for (const name of Object.keys(run.latest)) {
    const base = name.replace(/^val_/, "");
    if (!found.has(base)) found.set(base, []);
    found.get(base).push([name === base ? "training" : "validation", (p) => p.values[name] ?? null]);
  }
  if (found.has("learning rate")) found.get("learning rate")[0][0] = "rate";
  const groups = new Map();
  for (const point of run.points)
    for (const [group, parts] of Object.entries(point.groups))
      for (const part of Object.keys(parts)) {
        if (!groups.has(group)) groups.set(group, new Set());
        groups.get(group).add(part);
      }
  for (const [group, parts] of groups)
    found.set(group, [...parts].map((part) => [part, (p) => p.groups[group]?.[part] ?? null]));
  return found;
}

function drawCharts() {
  const run = runs.get(selected);
  if (!run) return;
  const wanted = panels(run), style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim(), palette = dark.matches ? DARK : LIGHT;
  for (const [title, chart] of charts)
    if (!wanted.has(title) || chart.key !== key(title, wanted)) { chart.plot.destroy(); chart.card.remove(); charts.delete(title); }
  for (const [title, lines] of wanted) {
    const epochs = run.points.map((p) => p.epoch);
    const data = [epochs, ...lines.map(([, read]) => run.points.map(read))];
    if (!charts.has(title)) {
      const card = make("div", undefined, $("charts"));
      card.className = "card"; card.dataset.panel = title;
      make("h3", title, card);
      const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 0.5 }, ticks: { stroke: colour("--line") } };
      const plot = new uPlot({
        width: card.clientWidth - 24, height: 210,
        scales: { x: { time: false }, y: { distr: isWide(title, data) ? 3 : 1 } },
        axes: [{ ...axis, label: "epoch", labelSize: 20 }, { ...axis, size: 64, values: (u, ticks) => ticks.map((v) => v == null ? "" : String(+v.toPrecision(4))) }],
        series: [{ label: "epoch" }, ...lines.map(([label], i) => ({
          label, stroke: palette[i % 8], width: 1.8, dash: i % 2 ? [6, 3] : undefined, spanGaps: true,
          value: (u, v, i, at) => shown(v ?? u.data[i].slice(0, at + 1).findLast((x) => x != null)), points: { show: (u, i) => u.data[i].filter((v) => v != null).length < 9 } }))],
      }, data, card);
      charts.set(title, { plot, card, key: key(title, wanted) });
      plot.over.onmouseleave = () => showLast(plot);
    } else charts.get(title).plot.setData(data);
    showLast(charts.get(title).plot);
  }
}

// Where no epoch is pointed at, the legend has the values of the last one.
function showLast(plot) {
  if (!plot.over.matches(":hover")) plot.setLegend({ idx: plot.data[0].length - 1 });
}

// A loss that has fallen far is drawn on a logarithmic axis.
function isWide(title, [, ...lines]) {
  if (title !== "loss") return false;
  const values = lines.flat().filter((v) => v !== null);
  const low = values.reduce((a, b) => Math.min(a, b), Infinity);
  return low > 0 && values.reduce((a, b) => Math.max(a, b), 0) > 50 * low;
}

function key(title, wanted) {
  const points = runs.get(selected).points;
  const data = [null, ...wanted.get(title).map(([, read]) => points.map(read))];
  return `${selected} ${dark.matches} ${isWide(title, data)} ${wanted.get(title).map(([label]) => label).join()}`;
}

function draw() {
  pending = false;
  drawTable();
  drawCharts();
  const all = [...runs.values()], active = all.filter((run) => run.state === "training").length;
  const epochs = all.reduce((sum, run) => sum + run.epochs, 0);
  $("status").textContent = `${active ? `${active} of ${all.length} training` : "training has ended"}, ${epochs} epochs`;
}

async function drawHistograms() {
  if (selected === null) return;
  const answer = await fetch(`histograms?run=${selected}`);
  const found = answer.ok ? await answer.json() : [];
  $("bars").replaceChildren();
  if (!found.length) make("p", "The network is gone.", $("bars"));
  const ns = "http://www.w3.org/2000/svg";
  for (const { name, counts, edges } of found) {
    const card = make("div", undefined, $("bars"));
    card.className = "card";
    make("h3", name, card);
    const svg = document.createElementNS(ns, "svg"), top = Math.max(...counts);
    svg.setAttribute("viewBox", `0 0 ${counts.length * 10} 100`);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${name}: ${counts.reduce((a, b) => a + b)} values from ${shown(edges[0])} to ${shown(edges.at(-1))}`);
    counts.forEach((count, i) => {
      const bar = document.createElementNS(ns, "rect");
      const values = { x: i * 10, width: 9, y: 100 - 100 * count / top, height: 100 * count / top };
      for (const [k, v] of Object.entries(values)) bar.setAttribute(k, v);
      svg.append(bar);
    });
    card.append(svg);
    make("div", `${shown(edges[0])} to ${shown(edges.at(-1))}`, card);
  }
}

$("histograms").onclick = drawHistograms;
dark.onchange = draw;
let resizing;
onresize = () => {
  clearTimeout(resizing);
  resizing = setTimeout(() => charts.forEach(({ plot, card }) => plot.setSize({ width: card.clientWidth - 24, height: 210 })), 100);
};
const source = new EventSource("events");
source.onmessage = (event) => take(JSON.parse(event.data));
source.onerror = () => {
  if (![...runs.values()].some((run) => run.state === "training") && runs.size) source.close();
  $("status").textContent = "the program is gone; this is the last it sent";
};
