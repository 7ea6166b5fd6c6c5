"use strict";

const EVERY_MS = 1000;
const number = new Intl.NumberFormat();
const at = (id) => document.getElementById(id);
let before = null;

async function read(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function uptime(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const from = parts.findIndex(([length]) => seconds >= length);
  if (from < 0) return "0 s";
  let rest = Math.floor(seconds);
  const texts = parts.slice(from, from + 2).map(([length, unit]) => {
    const count = Math.floor(rest / length);
    rest -= count * length;
    return `${count} ${unit}`;
  });
  return texts.join(" ");
}

function cell(row, content) {
  const td = row.insertCell();
  if (content instanceof Node) td.append(content);
  else td.textContent = typeof content === "number" ? number.format(content) : content;
}

function share(streams, all) {
  const meter = document.createElement("meter");
  meter.max = 1;
  meter.value = all > 0 ? streams / all : 0;
  meter.textContent = `${Math.round(meter.value * 100)} %`;
  meter.title = meter.textContent;
  return meter;
}

function latency({ count, p99 }) {
  if (count === 0) return "–";
  if (p99 === null) return "> 30 s";
  return p99 < 1000 ? `≤ ${p99} µs` : `≤ ${number.format(p99 / 1000)} ms`;
}

function show(stats, cores, now) {
  for (const id of ["activeChannels", "connectedClients", "totalUsers", "publishedMessages"]) {
    at(id).textContent = number.format(stats[id]);
  }
  at("uptime").textContent = uptime(stats.uptime);
  const seconds = before ? (now - before.now) / 1000 : 0;
  const rate = (core, name) => {
    const old = before && before.cores.find((one) => one.core === core.core);
    return old && seconds > 0 ? Math.round((core[name] - old[name]) / seconds) : 0;
  };
  const all = cores.reduce((sum, core) => sum + core.streams, 0);
  const body = document.createElement("tbody");
  body.id = "cores";
  for (const core of cores) {
    const row = body.insertRow();
    cell(row, core.core);
    cell(row, core.streams);
    cell(row, share(core.streams, all));
    cell(row, rate(core, "publishes"));
    cell(row, rate(core, "deliveries"));
    cell(row, latency(core.delivery_latency_us));
    cell(row, `${Math.round(core.busy_permille / 10)} %`);
    cell(row, core.lagging);
    cell(row, core.refusals);
  }
  at("cores").replaceWith(body);
  const deliveries = cores.reduce((sum, core) => sum + rate(core, "deliveries"), 0);
  at("rate").textContent = number.format(deliveries);
  before = { now, cores };
}

async function turn() {
  try {
    const [stats, { cores }] = await Promise.all([read("/stats"), read("/stats/cores")]);
    show(stats, cores, performance.now());
    at("state").textContent = "live";
  } catch (error) {
    at("state").textContent = `no numbers: ${error.message}`;
  }
  setTimeout(turn, document.hidden ? 10 * EVERY_MS : EVERY_MS);
}

turn();
