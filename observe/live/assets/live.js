"use strict";
// Everything that comes from pools becomes text nodes: el() makes all elements, and nothing here sets markup.

const $ = (id) => document.getElementById(id);
const svgNS = "http://www.w3.org/2000/svg";

function el(tag, attrs, ...children) {
  const e = document.createElement(tag);
  for (const [k, v] of Object.entries(attrs || {})) {
    if (v === true) e.setAttribute(k, "");
    else if (v !== false && v != null) e.setAttribute(k, v);
  }
  e.append(...children.filter((c) => c != null && c !== ""));
  return e;
}

function svg(tag, attrs, ...children) {
  const e = document.createElementNS(svgNS, tag);
  for (const [k, v] of Object.entries(attrs)) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

// --- words and numbers

const number = (n) => n.toLocaleString("en", { maximumFractionDigits: 0 });
const count = (n, one) => `${number(n)} ${one}${n === 1 ? "" : "s"}`;
const percent = (f) => (f > 0 && f < 0.0005 ? "<0.1 %" : `${(100 * f).toFixed(1)} %`);
const rate = (n) => (n > 0 && n < 9.95 ? n.toFixed(1) : number(n));

function duration(ms) {
  if (ms < 0.001) return "0 ms";
  if (ms < 1) return `${(1000 * ms).toFixed(0)} µs`;
  if (ms < 9.95) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${ms.toFixed(0)} ms`;
  if (ms < 60000) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.floor(ms / 60000)} min ${Math.round((ms % 60000) / 1000)} s`;
}

function likelihood(n) {
  for (const [unit, word] of [[1e12, " trillion"], [1e9, " billion"], [1e6, " million"]]) {
    if (n >= 1000 * unit) return "over 1,000" + word;
    if (n >= unit) return number(n / unit) + word;
  }
  return number(n);
}

const clock = (t) => new Date(t).toLocaleTimeString("en-GB");
const time = (t) => el("time", { datetime: t, title: new Date(t).toLocaleString() }, clock(t));

// --- icons: each state has a shape of its own

const shapes = {
  ok: ["circle", "M5 8.300l2.100 2.100L11 6.200"],
  warn: ["triangle", "M8 6v3.200M8 11.400v.1"],
  bad: ["circle", "M5.700 5.700l4.600 4.600M10.300 5.700l-4.600 4.600"],
  down: ["square", "M5 8h6"],
  plain: ["dot", ""],
};

function icon(kind, level) {
  const [outline, path] = shapes[kind];
  const s = svg("svg", { viewBox: "0 0 16 16", class: level || "", "aria-hidden": "true" });
  const paint = { fill: "currentColor" };
  if (outline === "circle") s.append(svg("circle", { cx: 8, cy: 8, r: 7, ...paint }));
  if (outline === "square") s.append(svg("rect", { x: 1.5, y: 1.5, width: 13, height: 13, rx: 2.5, ...paint }));
  if (outline === "triangle") s.append(svg("path", { d: "M8 1.200l7.200 13H.8z", "stroke-linejoin": "round", stroke: "currentColor", ...paint }));
  if (outline === "dot") s.append(svg("circle", { cx: 8, cy: 8, r: 3, ...paint }));
  if (path) s.append(svg("path", { d: path, fill: "none", stroke: "var(--card)", "stroke-width": 1.7, "stroke-linecap": "round", "stroke-linejoin": "round" }));
  return s;
}

function mark(state, level) {
  const kind = state === "down" ? "down" : level;
  return el("span", { class: `state ${level}` }, icon(kind, level), state);
}

// --- charts: sixty points of five seconds, the newest at the right

function chart(values, top, tone) {
  const width = 118, height = 24;
  const s = svg("svg", { class: `chart ${tone}`, viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  s.append(svg("path", { class: "base", d: `M0 ${height}H${width}` }));
  let line = "", area = "", run = [];
  const flush = () => {
    if (run.length) {
      const path = run.map(([x, y]) => `${x} ${y.toFixed(1)}`).join("L");
      line += `M${path}` + (run.length === 1 ? "h.1" : "");
      area += `M${run[0][0]} ${height}L${path}L${run[run.length - 1][0]} ${height}Z`;
    }
    run = [];
  };
  (values || []).forEach((v, i) => {
    if (v == null) return flush();
    run.push([width - 2 * (values.length - 1 - i), height - (height - 2) * Math.min(1, top > 0 ? v / top : 0)]);
  });
  flush();
  s.append(svg("path", { class: "area", d: area }), svg("path", { class: "stroke", d: line }));
  return s;
}

const highest = (charts) => Math.max(0, ...charts.map((c) => Math.max(0, ...(c || []).map((v) => v || 0))));

// --- what the viewer asks for, kept in the address of the page

const asked = { pool: "", q: "", sort: "trouble", offset: 0 };
const pageSize = 50;
let open = new Set(); // addresses of servers whose details are shown
let stream, retry, latest;

function readAddress() {
  const p = new URLSearchParams(location.search);
  asked.pool = p.get("pool") || "";
  asked.q = p.get("q") || "";
  asked.sort = p.get("sort") || "trouble";
  asked.offset = Number(p.get("offset")) || 0;
  $("filter").value = asked.q;
}

function params(changes) {
  const a = { ...asked, ...changes }, p = new URLSearchParams();
  if (a.pool) p.set("pool", a.pool);
  if (a.q) p.set("q", a.q);
  if (a.sort !== "trouble") p.set("sort", a.sort);
  if (a.offset) p.set("offset", a.offset);
  return p.toString();
}

function ask(changes, push) {
  Object.assign(asked, changes);
  const to = params({});
  history[push ? "pushState" : "replaceState"](null, "", to ? `?${to}` : location.pathname);
  connect();
}

// --- the stream, and single requests while it is interrupted

function connect() {
  clearTimeout(retry);
  if (stream) stream.close();
  const p = params({});
  stream = new EventSource(`stream?${p}${p ? "&" : ""}limit=${pageSize}`);
  stream.onmessage = (m) => { link("live", "live"); show(JSON.parse(m.data)); };
  stream.onerror = () => {
    stream.close();
    link("lost", "out of touch with the process");
    retry = setTimeout(poll, 1000);
  };
}

async function poll() {
  try {
    const r = await fetch(`pools.json?${params({})}`);
    if (r.ok) { show(await r.json()); link("live", "asking each second"); }
  } catch { /* the page says already that it is out of touch */ }
  connect();
}

function link(state, text) {
  $("link").dataset.state = state;
  setText($("link-text"), text);
}

// A hidden page asks for nothing.
document.addEventListener("visibilitychange", () => {
  if (document.hidden) { clearTimeout(retry); stream.close(); } else connect();
});

// --- the page

const setText = (e, t) => { if (e.textContent !== t) e.textContent = t; };

function show(doc) {
  latest = doc;
  setText($("process"), `${doc.process} · pid ${doc.pid}`);
  setText($("verdict-text"), doc.verdict); // announced only when it changes
  if ($("verdict").dataset.level !== doc.level) {
    $("verdict").dataset.level = doc.level;
    $("verdict-mark").replaceChildren(icon(doc.level, doc.level));
  }
  document.title = (doc.level === "ok" ? "" : doc.level === "warn" ? "▲ " : "✕ ") + doc.process + " · pools";
  setText($("updated"), `As of ${clock(doc.time)}`);
  showPools(doc);
  $("pool").hidden = !doc.pool;
  if (!doc.pool) return;
  const summary = doc.pools.find((p) => p.name === doc.pool.name);
  setText($("pool-name"), doc.pool.name);
  $("reset").hidden = !doc.actions;
  showTiles(summary);
  showHeads();
  showServers(doc.pool);
  showEvents(doc.pool.events || []);
  showRegistry(doc.pool.registry);
}

function showPools(doc) {
  $("pools").hidden = doc.pools.length < 2;
  keyed($("pool-list"), doc.pools, (p) => p.name, () => el("li", {}, el("a", {})), (li, p) => {
    const a = li.firstChild;
    a.href = `?${params({ pool: p.name, offset: 0 })}`;
    if (p.name === doc.pool.name) a.setAttribute("aria-current", "true");
    else a.removeAttribute("aria-current");
    a.onclick = (e) => {
      if (e.metaKey || e.ctrlKey || e.shiftKey) return;
      e.preventDefault();
      open = new Set();
      ask({ pool: p.name, offset: 0 }, true);
    };
    a.replaceChildren(
      el("span", { class: "name" }, icon(p.level, p.level), p.name),
      el("span", { class: "line" }, `${p.verdict} · ${rate(p.calls_per_s)} calls/s`));
  });
}

function tile(name, value, unit, under, drawing) {
  return el("div", { class: "tile" }, el("dt", {}, name),
    el("dd", {}, el("span", { class: "value" }, value), unit && el("span", { class: "unit" }, ` ${unit}`), drawing, el("div", { class: "under" }, under)));
}

function showTiles(p) {
  const busy = p.calls_per_s_chart || [], failing = p.failures_per_s_chart || [];
  $("tiles").replaceChildren(
    tile("Calls", rate(p.calls_per_s), "per second", `${number(p.calls)} in all · ${number(p.waiting)} waiting`,
      chart(busy, highest([busy]), "c-share")),
    tile("Failed", rate(p.failures_per_s), "per second", `${number(p.failures)} in all`, chart(failing, Math.max(1, highest([failing])), "c-bad")),
    tile("Latency", duration(p.latency_ms), "on average", `median ${duration(p.latency_p50_ms)} · p99 ${duration(p.latency_p99_ms)}`,
      chart(p.latency_ms_chart, highest([p.latency_ms_chart]), "c-time")),
    tile("Servers", `${number(p.in_service)}`, `of ${number(p.servers)} in service`, `${count(p.in_use, "connection")} in use`, fleet(p)));
}

// fleet is a bar of how many servers are in which state.
function fleet(p) {
  const s = svg("svg", { class: "chart", viewBox: "0 0 100 24", preserveAspectRatio: "none", "aria-hidden": "true" });
  const out = p.servers - p.in_service;
  let x = 0;
  for (const [n, tone] of [[p.in_service - p.slow, "ok"], [p.slow, "warn"], [out, "bad"]]) {
    if (!n) continue;
    const w = Math.max(1, (100 * n) / p.servers);
    s.append(svg("rect", { x, y: 9, width: Math.max(0.4, w - 0.6), height: 7, fill: "currentColor", class: tone, rx: 0.6 }));
    x += w;
  }
  return s;
}

const columns = [
  ["Server", "address", ""], ["State", "trouble", "c-state"], ["Share", "share", "num"], ["Latency", "latency", "num"],
  ["Errors", "errors", "num"], ["In use", "in_use", "num c-use"], ["Calls", "", "num c-calls"],
];

function showHeads() {
  if ($("heads").dataset.sort === asked.sort) return;
  const had = document.activeElement && document.activeElement.dataset.by;
  $("heads").dataset.sort = asked.sort;
  $("heads").replaceChildren(...columns.map(([name, by, cls]) => {
    const th = el("th", { scope: "col", class: cls });
    if (!by) { th.append(name); return th; }
    const b = el("button", { type: "button", "data-by": by }, name);
    b.onclick = () => ask({ sort: by, offset: 0 });
    if (by === asked.sort) th.setAttribute("aria-sort", by === "address" ? "ascending" : "descending");
    th.append(b);
    return th;
  }));
  if (had) for (const b of $("heads").querySelectorAll("button")) if (b.dataset.by === had) b.focus();
}

// keyed makes the children of parent those of items, in order, and keeps the elements of those that stay, so that
// the focus and what is selected survive.
function keyed(parent, items, key, make, fill) {
  const had = new Map([...parent.children].map((c) => [c.dataset.key, c]));
  let at = parent.firstElementChild;
  for (const item of items) {
    const k = key(item);
    let e = had.get(k);
    had.delete(k);
    if (!e) { e = make(item); e.dataset.key = k; }
    if (e === at) at = at.nextElementSibling;
    else parent.insertBefore(e, at);
    fill(e, item);
  }
  for (const e of had.values()) e.remove();
}

function showServers(pool) {
  const top = { share: highest(pool.servers.map((s) => s.share_chart)), latency: highest(pool.servers.map((s) => s.latency_ms_chart)) };
  const rows = [];
  for (const s of pool.servers) {
    rows.push({ key: `s ${s.addr}`, s });
    if (open.has(s.addr)) rows.push({ key: `d ${s.addr}`, s, more: true });
  }
  keyed($("rows"), rows, (r) => r.key, (r) => (r.more ? makeMore(r.s) : makeRow(r.s)), (tr, r) => (r.more ? fillMore(tr, r.s) : fillRow(tr, r.s, top)));
  if (!pool.servers.length) {
    $("rows").replaceChildren(el("tr", {}, el("td", { class: "empty", colspan: columns.length }, asked.q ? "No server matches." : "The set has no server.")));
  }
  const from = pool.offset + 1, to = pool.offset + pool.servers.length;
  const all = pool.matching > pool.servers.length;
  setText($("range"), pool.servers.length ? (all ? `${number(from)} to ${number(to)} of ${count(pool.matching, "server")}` : count(pool.matching, "server")) : "");
  for (const [id, ok] of [["previous", pool.offset > 0], ["next", to < pool.matching]]) {
    $(id).hidden = !all;
    $(id).disabled = !ok;
  }
}

function makeRow(s) {
  const chevron = svg("svg", { viewBox: "0 0 10 10", "aria-hidden": "true" }, svg("path", { d: "M3 1l4 4-4 4", fill: "none", stroke: "currentColor", "stroke-width": 1.6 }));
  const b = el("button", { type: "button", class: "addr" }, chevron, el("span", {}, s.addr));
  b.onclick = () => {
    if (!open.delete(s.addr)) open.add(s.addr);
    showServers(latest.pool);
  };
  return el("tr", {}, el("th", { scope: "row" }, b, el("div", { class: "beneath" }), el("div", { class: "zone", hidden: true })),
    ...columns.slice(1).map(([, , cls]) => el("td", { class: cls })));
}

function fillRow(tr, s, top) {
  const [server, state, share, latency, errors, use, calls] = tr.children;
  server.firstChild.setAttribute("aria-expanded", open.has(s.addr));
  server.lastChild.hidden = !s.zone;
  setText(server.lastChild, s.zone || "");
  if (state.dataset.is !== s.state) {
    state.dataset.is = s.state;
    state.replaceChildren(mark(s.state, s.level));
    server.children[1].replaceChildren(mark(s.state, s.level)); // in place of the column, on a phone
  }
  share.replaceChildren(el("div", { class: "pair" }, el("span", {}, percent(s.share)), chart(s.share_chart, top.share, "c-share")));
  latency.replaceChildren(el("div", { class: "pair" }, el("span", { class: s.level === "bad" ? "soft" : "" }, s.latency_ms ? duration(s.latency_ms) : "–"), chart(s.latency_ms_chart, top.latency, "c-time")));
  errors.replaceChildren(number(s.failures), s.failures_per_s > 0 ? el("span", { class: "now bad" }, `${rate(s.failures_per_s)}/s`) : "",
    s.last_dial ? el("span", { class: "now bad" }, `${count(s.dial_failures, "dial")}`) : "");
  const fill = el("i");
  fill.style.width = `${s.limit ? Math.min(100, (100 * s.in_use) / s.limit) : 0}%`;
  use.replaceChildren(`${number(s.in_use)} `, s.limit ? el("span", { class: "soft" }, `of ${number(s.limit)}`) : "", el("span", { class: "meter", "aria-hidden": "true" }, fill));
  calls.replaceChildren(number(s.calls), el("span", { class: "now soft" }, `${rate(s.calls_per_s)}/s`));
}

// --- why this server

const makeMore = () => el("tr", { class: "more" }, el("td", { colspan: columns.length }));

function fillMore(tr, s) {
  const as = JSON.stringify(s), cell = tr.firstChild;
  if (!cell.firstChild) cell.replaceChildren(el("div", { class: "more-grid" }), el("p", { class: "acts" }));
  showActs(cell.lastChild, s);
  if (cell.dataset.as === as) return; // what is selected stays so
  cell.dataset.as = as;
  cell.firstChild.replaceChildren(
    el("div", {}, el("h4", {}, `Why it is ${s.state}`), ...why(s)),
    block("Calls", [["answered", s.ok], ["failed", s.failed], ["overloaded", s.overloaded], ["neutral", s.neutral], ["canceled", s.canceled],
      ["retries here", s.retries], ["hedges here", s.hedges], ["hedges won", s.hedges_won]]),
    block("Connections", [["in use", s.in_use], ["idle", s.idle], ["dialing", s.dialing], ["closing", s.closing], ["dials", s.dials],
      ["failed dials", s.dial_failures], ["closed", s.closed], ["ejections", s.ejections], ["probes", s.probes]]),
    block("Registry entry", [["weight", s.weight], ...(s.zone ? [["zone", s.zone]] : []), ...Object.entries(s.attrs || {}).sort()]));
}

function block(title, pairs) {
  return el("div", {}, el("h4", {}, title), el("dl", { class: "pairs" }, ...pairs.flatMap(([k, v]) => [el("dt", {}, k), el("dd", {}, typeof v === "number" ? v.toLocaleString("en") : v)])));
}

// showActs shows the buttons by which a person takes a server out of service, or puts it
// back. They stay, and keep the focus, while the numbers above them change.
function showActs(p, s) {
  const as = !latest.actions ? "" : s.state === "ejected" ? "readmit" : "eject";
  p.hidden = !as;
  if (p.dataset.as === as) return;
  p.dataset.as = as;
  const button = (action, label, question) => {
    const b = el("button", { type: "button" }, label);
    b.onclick = () => act(action, s.addr, question);
    return b;
  };
  p.replaceChildren(...(as === "" ? [] : as === "readmit" ? [button("readmit", "Readmit", `Put ${s.addr} back into service?`)] : [
    button("eject", "Eject", `Take ${s.addr} out of service until it is readmitted? Its connections stay.`),
    button("drain", "Drain", `Take ${s.addr} out of service until it is readmitted, and close its connections? Calls under way finish.`)]));
}

async function act(action, server, question) {
  const name = latest.pool.name;
  if (!confirm(question)) return;
  const r = await fetch(`act?do=${action}&pool=${encodeURIComponent(name)}&server=${encodeURIComponent(server)}`, { method: "POST" });
  if (!r.ok) alert(await r.text());
}

function why(s) {
  const out = [];
  const say = (title, cause, detail) => out.push(el("div", { class: "why" }, el("p", {}, ...title), cause ? el("p", { class: "cause" }, cause) : "", detail ? el("p", { class: "soft" }, detail) : ""));
  if (s.last_dial) say(["The last dial failed"], s.last_dial, "");
  if (s.ejection) {
    const verb = s.ejection.kind === "ejection suppressed" ? "Should have been ejected at " : "Ejected at ";
    say([verb, time(s.ejection.last)], s.ejection.cause, proof(s.ejection.evidence));
  }
  if (s.probes) say([`${count(s.probes, "probe")} of ${count(s.ejections, "ejection")} so far`], "", "");
  if (s.readmission) say(["Readmitted at ", time(s.readmission.last), ` after ${duration(s.readmission.duration_ms)}`], s.readmission.cause, "");
  if (s.failure && s.failure.cause !== s.last_dial) say([`${sentence[s.failure.kind] || s.failure.kind} at `, time(s.failure.last)], s.failure.cause, "");
  if (s.state === "slow") say(["Its answers take three times as long as those of the median server, or longer."], "", "");
  if (!out.length) out.push(el("p", { class: "soft" }, "It is in the registry, and nothing has failed here that is still remembered."));
  return out;
}

// proof says how strong the evidence is; the cause has the numbers of calls.
function proof(e) {
  if (!e || !e.calls) return "";
  return `A broken server explains this ${likelihood(e.likelihood)} times better than a good one does.`;
}

// --- what happened

const sentence = {
  "endpoint added": "joined", "endpoint removed": "left the set", "endpoint rejected": "was rejected", "endpoint down": "is down",
  "endpoint up": "is up again", "dial failed": "could not be dialed", "connection closed": "lost a connection", "lease leaked": "has a leaked lease",
  "state changed": "The set is", "watch lost": "The watch of the registry is lost", "watch warning": "The registry has something odd",
  "watch failing": "The registry fails", "endpoint ejected": "was ejected", "endpoint readmitted": "was readmitted",
  "ejection suppressed": "should be ejected, but too many are", "balancer failed": "The balancer failed",
};
const tones = {
  "endpoint ejected": "bad", "watch lost": "bad", "balancer failed": "bad", "endpoint readmitted": "ok", "endpoint up": "ok",
  "endpoint added": "plain", "endpoint removed": "plain", "state changed": "plain",
};

function showEvents(events) {
  keyed($("events"), events, (e) => String(e.id), () => el("li", {}), (li, e) => {
    const as = `${e.count} ${e.last}`;
    if (li.dataset.as === as) return;
    li.dataset.as = as;
    let tone = tones[e.kind] || "warn";
    if (e.kind === "state changed") tone = e.state === "ready" ? "ok" : "warn";
    const shape = e.kind === "endpoint down" ? "down" : tone;
    const level = e.kind === "endpoint down" ? "bad" : tone === "plain" ? "soft" : tone;
    const what = sentence[e.kind] || e.kind;
    const head = e.servers > 1 ? [`${count(e.servers, "server")} ${what.replace(/^was /, "were ")}, `, el("span", { class: "who" }, e.server), " last"]
      : e.server ? [el("span", { class: "who" }, e.server), ` ${what}`] : [what + (e.state ? ` ${e.state}` : "")];
    const notes = [];
    if (e.kind === "endpoint readmitted") notes.push(`after ${duration(e.duration_ms)}${e.evidence ? ` and ${count(e.evidence.probes, "probe")}` : ""}`);
    if (e.kind === "endpoint ejected" && e.duration_ms) notes.push(`first probe in ${duration(e.duration_ms)}`);
    if (e.kind === "lease leaked") notes.push(`for ${duration(e.duration_ms)} so far`);
    if (!(e.servers > 1) && e.count > 1) notes.push(`${number(e.count)} times until ${clock(e.last)}`);
    const why = e.kind === "endpoint ejected" || e.kind === "ejection suppressed" ? proof(e.evidence) : "";
    li.replaceChildren(time(e.time), icon(shape, level), el("div", {},
      el("p", {}, ...head, notes.length ? el("span", { class: "soft" }, ` · ${notes.join(" · ")}`) : ""),
      e.cause ? el("p", { class: "cause soft clip", title: e.cause }, e.cause) : "",
      why ? el("p", { class: "soft" }, why) : "",
      e.stack ? el("p", { class: "cause soft" }, e.stack) : ""));
  });
  if (!events.length) $("events").replaceChildren(el("li", { class: "empty" }, "Nothing yet."));
}

// --- what the registry says

function showRegistry(r) {
  const as = JSON.stringify(r);
  if ($("registry").dataset.as === as) return;
  $("registry").dataset.as = as;
  const level = r.state === "ready" ? "ok" : r.state === "stale" ? "warn" : "bad";
  const words = { ready: "The set is known", stale: "The registry is out of sight", empty: "The registry has no server", pending: "No set is known yet" };
  $("registry").replaceChildren(
    el("p", {}, el("span", { class: `state ${level}` }, icon(level, level), words[r.state] || r.state)),
    el("p", { class: "soft" }, `${count(r.servers, "server")}, ${r.state} since `, time(r.since)),
    r.error ? el("p", { class: "cause" }, r.error) : "",
    r.doctor ? el("p", { class: "soft" }, "To find the cause: ", el("code", {}, r.doctor)) : "",
    r.warning ? el("p", { class: "cause" }, r.warning) : "",
    r.disagreements.length ? el("ul", {}, ...r.disagreements.map((d) => el("li", {}, d))) : el("p", { class: "soft" }, "The pool agrees with it."));
}

// --- what the viewer does

let typing;
$("filter").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => ask({ q: $("filter").value.trim(), offset: 0 }), 150);
});
$("previous").addEventListener("click", () => ask({ offset: Math.max(0, asked.offset - pageSize) }, true));
$("next").addEventListener("click", () => ask({ offset: asked.offset + pageSize }, true));
$("reset").addEventListener("click", () =>
  act("reset", "", `Close all connections of ${latest.pool.name}? Calls under way finish; new connections are opened as they are needed.`));
addEventListener("popstate", () => { readAddress(); connect(); });

readAddress();
connect();
