"use strict";
// Draws what the server's events say. Texts become text nodes, never markup: some come from scanners and files.

const place = (id) => document.getElementById(id);
let offers = { pipelines: [], keeps: false, changes: false };
let kept = [];

function make(tag, kind, ...content) {
  const element = document.createElement(tag);
  if (kind) element.className = kind;
  element.append(...content.filter((each) => each !== null && each !== undefined && each !== ""));
  return element;
}

function show(id, ...elements) {
  place(id).replaceChildren(...elements);
}

function counted(n, one) {
  return `${n.toLocaleString("en")} ${one}${n === 1 ? "" : "s"}`;
}

function seconds(s) {
  if (s === null || s === undefined) return "";
  if (s < 1) return `${Math.round(1000 * s)} ms`;
  return s < 120 ? `${s.toFixed(1)} s` : `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
}

function clock(moment) {
  return new Date(1000 * moment).toLocaleString("sv");
}

function drawServer(state) {
  const told = [
    state.ready ? make("span", "good", "ready") : make("span", "unsure", "no worker is free"),
    `${state.workers_idle} of ${counted(state.workers, "worker")} idle`,
    `${counted(state.scans_running, "connection")} served`,
    `${counted(state.scans_waiting, "scan")} waiting for a worker`,
    `${(state.queue_bytes / 1e6).toFixed(1)} MB queued`,
    make("span", "quiet", `kband ${state.kband}`),
  ];
  for (const problem of [state.keeping_problem, state.history_problem]) {
    if (problem) told.push(make("span", "bad", problem));
  }
  if (state.scans_not_kept) told.push(make("span", "bad", `${counted(state.scans_not_kept, "scan")} not kept`));
  if (state.events_dropped) told.push(make("span", "unsure", `${counted(state.events_dropped, "event")} not shown`));
  show("server", ...told.map((each) => make("span", "", each)));
}

function who(scan) {
  const parts = [scan.protocol || "protocol not named", scan.pipeline];
  if (scan.replay_of) parts.push(`replay of ${scan.replay_of}`);
  return make("span", "name", parts.filter(Boolean).join(" · "));
}

function particulars(scan) {
  const parts = [];
  if (scan.peer) parts.push(`from ${scan.peer}${scan.dialect ? ` (${scan.dialect})` : ""}`);
  if (scan.matrix) parts.push(`matrix ${scan.matrix.filter((n, axis) => axis < 2 || n > 1).join(" × ")}`);
  if (scan.coils) parts.push(counted(scan.coils, "coil"));
  if (scan.acceleration) parts.push(`R = ${scan.acceleration}`);
  if (scan.model) parts.push(scan.model);
  return parts.join(" · ");
}

function lines(scan) {
  if (!scan.lines_announced) return `${counted(scan.lines, "line")} received; the header does not say how many come`;
  const extra = scan.lines - scan.lines_on_grid;
  const grid = `${scan.lines_on_grid.toLocaleString("en")} of ${counted(scan.lines_announced, "announced line")}`;
  return grid + (extra > 0 ? `, and ${extra.toLocaleString("en")} of calibration, noise and others` : "");
}

function times(scan) {
  const moments = Object.entries(scan.at).sort((a, b) => a[1] - b[1]);
  return moments.map(([what, at], n) =>
    n === 0 ? `${what} ${clock(at)}` : `${what} +${seconds(at - moments[n - 1][1])}`).join(" · ");
}

function gadgets(scan) {
  const longest = Object.entries(scan.gadgets || {}).filter(([, s]) => s > 0.001).sort((a, b) => b[1] - a[1]).slice(0, 5);
  if (!longest.length) return null;
  return make("div", "", `after the last line: ${longest.map(([name, s]) => `${name} ${seconds(s)}`).join(", ")}`);
}

function remarks(scan) {
  return scan.remarks.slice(-5).map((text) => make("div", "unsure", text));
}

function drawRunning(scans) {
  if (!scans.length) return show("running", make("p", "quiet", "no scan is running"));
  show("running", ...scans.map((scan) => {
    const full = scan.lines_announced ? Math.min(1, scan.lines_on_grid / scan.lines_announced) : 0;
    const bar = make("div", "bar", make("div"));
    bar.firstChild.style.width = `${100 * full}%`;
    const images = counted(scan.images, "image") + (scan.flawed ? `, ${scan.flawed} with a flaw` : "");
    return make("div", "card", make("div", "", who(scan), " ", make("span", "quiet", scan.stage)),
      make("div", "quiet", particulars(scan)), bar,
      make("div", "", `${lines(scan)} · `, make("span", scan.flawed ? "bad" : "", images)),
      make("div", "quiet", times(scan)), scan.problem && make("div", "bad", scan.problem), ...remarks(scan));
  }));
}

function drawPictures(pictures) {
  if (!pictures.length) return show("pictures", make("p", "quiet", "no image has been made since the page began"));
  show("pictures", ...pictures.map((one) => {
    const image = make("img");
    image.src = `/pictures/${one.picture}.png`;
    image.alt = one.label.map(([text]) => text).join("; ");
    const letters = Object.entries(one.letters).map(([edge, letter]) => make("span", edge, letter));
    const view = make("div", "view", image, ...letters);
    view.style.aspectRatio = one.shape;
    const label = one.label.map(([text, kind]) => make("div", kind, text));
    const isBad = one.label.some(([, kind]) => kind === "bad");
    return make("figure", isBad ? "bad" : "", view, make("figcaption", "", ...label, make("div", "quiet", `scan ${one.scan}`)));
  }));
}

function outcome(scan) {
  if (!scan.problem && !scan.flawed) return make("span", "good", counted(scan.images, "image"));
  const words = [];
  if (scan.fallback) words.push(`${scan.fallback} FALLBACK`);
  if (scan.incomplete) words.push(`${scan.incomplete} INCOMPLETE`);
  return make("span", "bad", [counted(scan.images, "image"), ...words, scan.problem].filter(Boolean).join(" · "));
}

function table(heads, rows) {
  const head = make("tr", "", ...heads.map((each) => make("th", "", each)));
  return make("table", "", make("thead", "", head), make("tbody", "", ...rows));
}

function drawEnded(scans) {
  const failed = scans.filter((scan) => scan.problem).slice(0, 8);
  show("failures", ...(failed.length ? failed.map((scan) => make("div", "", make("span", "quiet", `${clock(scan.at.end)} `),
    who(scan), " ", make("span", "bad", scan.problem))) : [make("p", "quiet", "none among the last scans")]));
  if (!scans.length) return show("ended", make("p", "quiet", "none yet"));
  show("ended", table(["ended", "scan", "lines", "result", "last line to last image", "stages"], scans.map((scan) =>
    make("tr", "", make("td", "", clock(scan.at.end)),
      make("td", "", who(scan), make("div", "quiet", `${particulars(scan)} · ${scan.scan}`)),
      make("td", "number", scan.lines.toLocaleString("en")),
      make("td", "", outcome(scan), ...remarks(scan)), make("td", "number", seconds(scan.latency)),
      make("td", "quiet", times(scan), gadgets(scan))))));
}

async function replay(name, pipeline) {
  const asked = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ name, pipeline }) };
  const answer = await fetch("/replay", asked);
  const text = await answer.text();
  if (!answer.ok) {
    let problem = text;
    try { problem = JSON.parse(text).problem; } catch { /* a sentence as it is */ }
    show("replay", make("span", "bad", problem));
  }
}

function drawKept() {
  if (!offers.keeps) return show("kept", make("p", "quiet", "scans are not kept"));
  if (!kept.length) return show("kept", make("p", "quiet", "none yet"));
  const hint = offers.changes ? null : make("p", "quiet", "To replay them from here, start the server with --page-token.");
  show("kept", hint || "", table(["kept scan", "pipeline", "lines", "", ""], kept.map((scan) => {
    const choice = make("select", "", ...offers.pipelines.map((name) => make("option", "", name)));
    choice.value = offers.pipelines.includes(scan.pipeline) ? scan.pipeline : "sense";
    choice.setAttribute("aria-label", "pipeline");
    const button = make("button", "", "replay");
    button.addEventListener("click", () => replay(scan.name, choice.value));
    return make("tr", "", make("td", "", scan.name), make("td", "", scan.pipeline || ""),
      make("td", "number", scan.lines === undefined ? "" : scan.lines.toLocaleString("en")),
      make("td", "", ...(offers.changes ? [choice, " ", button] : [])),
      make("td", "bad", scan.problem || ""));
  })));
}

function drawReplay(state) {
  const kind = state.problem ? "bad" : "";
  show("replay", make("span", kind, `replay of ${state.name} through ${state.pipeline} ${state.state}`
    + (state.problem ? `: ${state.problem}` : "")));
}

const draw = {
  server: drawServer, running: drawRunning, pictures: drawPictures, ended: drawEnded, replay: drawReplay,
  offers: (told) => { offers = told; drawKept(); },
  kept: (told) => { kept = told; drawKept(); },
};

const events = new EventSource("/events");
for (const [name, how] of Object.entries(draw)) {
  events.addEventListener(name, (event) => how(JSON.parse(event.data)));
}
events.addEventListener("open", () => { place("lost").hidden = true; });
events.addEventListener("error", () => { place("lost").hidden = false; });
