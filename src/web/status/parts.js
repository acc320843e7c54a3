// What each part looks like. Values become text, never markup.

/**
 * @param {string} tag with classes after dots
 * @param {...(Node|string|null|undefined|false|0)} children what is not there is left out
 */
function h(tag, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  element.classList.add(...classes);
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false && child !== 0));
  return element;
}

/** @param {string} section */
const body = (section) => document.querySelector(`#${section} .body`);

/**
 * Keeps what is open and where it is scrolled to. What is null or false is left out: it would be shown as that word.
 * @param {string} section @param {any[]} children
 */
function put(section, children) {
  const into = body(section);
  const focused = into.contains(document.activeElement) && keyOf(document.activeElement);
  const open = new Set([...into.querySelectorAll("details[open]")].map((details) => details.dataset.key));
  const atEnd = into.scrollTop + into.clientHeight >= into.scrollHeight - 4;
  const top = into.scrollTop;
  into.replaceChildren(...children.filter(Boolean));
  for (const details of into.querySelectorAll("details")) details.open = open.has(details.dataset.key);
  into.scrollTop = section === "log" && atEnd ? into.scrollHeight : top;
  if (focused) [...into.querySelectorAll("summary, button, a")].find((one) => keyOf(one) === focused)?.focus({ preventScroll: true });
  fade();
}

/** By which what has the focus is found again. @param {Element} element */
const keyOf = (element) => `${element.closest("[data-key]")?.dataset.key} ${element.localName} ${element.textContent}`;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false });
const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const plural = (n, one, many = `${one}s`) => `${number.format(n)} ${n === 1 ? one : many}`;

function age(at) {
  const seconds = Math.max(0, Math.round((Date.now() - at) / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** A text that goes on counting. @param {number} at */
function since(at) {
  const element = h("time", age(at));
  element.dataset.at = String(at);
  element.title = new Date(at).toLocaleString();
  return element;
}

/** How long (ms) an error stands out. */
const FRESH = 60_000;

/** @param {Element} element about something that went wrong @param {number} at */
function fading(element, at) {
  element.dataset.fades = String(at + FRESH);
  return element;
}

function fade() {
  for (const element of document.querySelectorAll("[data-fades]")) {
    element.classList.toggle("past", Date.now() > Number(element.dataset.fades));
  }
}

setInterval(() => {
  for (const element of document.querySelectorAll("time[data-at]")) element.textContent = age(Number(element.dataset.at));
  fade();
}, 1000);

function pill(text, kind) {
  const element = document.querySelector("#ready");
  element.textContent = text;
  element.className = `pill ${kind}`;
}

// ------------------------------------------------------------------ watching
const latency = (us) => (us < 1000 ? `${us} µs` : `${number.format(us / 1000)} ms`);

/** What watches each tree: the site's directories, and those that links lead to. */
function root({ dir, backend, wanted, why }) {
  const by = backend ? [h("span.good", backend)] : [h("span.warn", `${wanted}, not yet`)];
  const instead = backend && backend !== wanted && h("span.warn", ` in place of ${wanted}`);
  const item = h("li", h("span.mono", `${dir}/`), " by ", ...by, instead);
  item.title = why;
  return item;
}

function backend(one) {
  const kind = one.state === "working" ? "good" : one.state === "down" || one.state === "silent" ? "bad" : "warn";
  const facts = [
    ["watches", plural(one.dirs, "directory", "directories") + (one.limited ? `, ${one.limited} beyond its limit` : "")],
    one.since && ["for", since(one.since)],
    one.barrier && ["answers in", latency(one.barrier.us)],
    one.cpuShare > 0 && ["takes", `${number.format(one.cpuShare * 100)} % of a core`],
    one.detail && ["says", one.detail],
    one.failures > 0 && ["failed", plural(one.failures, "time")],
    one.trouble && ["trouble", h("span.bad", one.trouble)],
  ].filter(Boolean);
  return h("div.backend",
    h("h3", one.name, h(`small.${kind}`, one.state)),
    h("p.faint", one.why),
    h("dl", ...facts.flatMap(([name, value]) => [h("dt", name), h("dd", value)])));
}

function backends(value) {
  if (!value) return put("watching", [h("p.faint", "Hot loading is off: nothing is watched.")]);
  put("watching", [
    value.trouble && h("p.bad", value.trouble),
    ...value.backends.map(backend),
    value.unfinished.length > 0 && h("p.warn", `Somebody is still writing: ${value.unfinished.join(", ")}`),
    value.missed > 0 && h("p.warn", `${plural(value.missed, "change")} found that no backend had reported`),
  ]);
}

// ------------------------------------------------------------------ a fleet
/** In the place of what is watched: a server of a fleet gets its files as releases. */
function fleet(value) {
  document.querySelector("#watching-title").textContent = "Fleet";
  put("watching", [
    h(value.ready ? "p" : "p.bad", value.summary),
    value.away && h("p.bad", `The depot is away since ${clock.format(value.away.since)}: ${value.away.problem}`),
    value.problem && !value.away && h("p.bad", value.problem),
    value.pointer && h("p.faint", value.pointer),
    h("ul.servers", ...value.servers.map((one) => h(one.well ? "li" : "li.warn", one.text))),
    value.all > value.servers.length && h("p.faint", `and ${value.all - value.servers.length} more`),
  ]);
}

// ------------------------------------------------------------------ reloads
const STAGES = ["settle", "reconcile", "compile", "apply", "refresh"];

/** file:line, which opens the editor if one is configured. */
function place({ file, line, editor }) {
  const text = h("code", line ? `${file}:${line}` : file);
  if (!editor) return text;
  const link = h("a", text);
  link.href = editor;
  return link;
}

function error(one) {
  const lines = one.excerpt?.flatMap(({ line, text }) => {
    const shown = `${String(line).padStart(5)} | ${text}\n`;
    return [line === one.line ? h("mark", shown) : shown];
  }) ?? [];
  return h("div",
    h("p.bad", place(one), ` ${one.message}`),
    h("p.faint", `${plural(one.sessions + (one.alone ?? 0), "session")} kept the previous version`),
    lines.length > 0 && h("pre", ...lines),
    one.traceback && h("pre", one.traceback));
}

function reload(one) {
  const failed = one.status !== "ok";
  const total = Math.max(one.durationMs, ...[STAGES.reduce((sum, stage) => sum + (one.stages[stage] ?? 0), 0)], 0.001);
  const bars = STAGES.filter((stage) => one.stages[stage] > 0).map((stage) => {
    const bar = h(`i.${stage}`);
    bar.style.width = `${(one.stages[stage] / total) * 100}%`;
    bar.title = `${stage}: ${number.format(one.stages[stage])} ms`;
    return bar;
  });
  const files = one.files.join(", ") || "nothing that counts";
  const summary = h("summary",
    h("span.faint.mono", clock.format(one.at)),
    h("span.files", files),
    h(failed ? "span.bad" : "span", `${failed ? `${one.status} · ` : ""}${number.format(one.durationMs)} ms`),
    h("span.bar", ...bars));
  const stages = STAGES.filter((stage) => one.stages[stage] !== undefined)
    .map((stage) => `${stage} ${number.format(one.stages[stage])} ms`).join(" · ");
  const details = h(`details.${one.status}`, summary, h("div",
    h("p", `Generation ${one.generation}: new code in ${one.applied} of ${plural(one.sessions, "session")}` + (one.alone ? ` (${one.alone} without a browser)` : "") + (one.kept ? `, ${one.kept} kept the previous version` : "")),
    h("p.mono", files),
    h("p.faint", stages),
    ...one.notes.map((note) => h("p.warn", typeof note === "string" ? note : note.text ?? JSON.stringify(note))),
    ...one.errors.map(error)));
  details.dataset.key = String(one.generation);
  return failed ? fading(h("li", details), one.at) : h("li", details);
}

function reloads(value) {
  document.querySelector("#reloads .legend").replaceChildren(...STAGES.map((stage) => h(`span.${stage}`, stage)));
  put("reloads", value.length ? value.map(reload) : [h("li.faint", "No file was saved yet.")]);
}

// ------------------------------------------------------------------ sessions
function session(one, actions) {
  const restart = action("Restart", `Begin session ${one.name} anew: its state is lost`, () => actions.restart(one.name));
  const end = action("End", `End session ${one.name}: its state is lost, and a page that shows it begins another`, () => actions.end(one.name));
  const cells = one.busy || one.stuck
    ? [h(one.stuck ? "td.bad" : "td.warn", one.stuck ? "stuck" : "busy"), h("td"), h("td"), h("td"), h("td", one.stuck && h("span.bad", place(one.stuck), ` ${one.stuck.message}`))]
    : [
      h("td", since(one.began)),
      h("td.number", number.format(one.sockets)),
      h("td.number", `${number.format(one.memory)} KiB`),
      h("td.number", number.format(one.generation)),
      h("td", one.error && fading(h("span.bad", place(one.error), ` ${one.error.message}`), one.error.at)),
    ];
  const name = h("th.mono", one.name);
  name.scope = "row";
  const row = h("tr", name, ...cells, h("td.actions", restart, end));
  row.dataset.key = one.name;
  return row;
}

function action(text, title, press) {
  const button = h("button", text);
  button.type = "button";
  button.title = title;
  button.addEventListener("click", press);
  return button;
}

function heading(text) {
  const cell = h(["sockets", "memory", "generation"].includes(text) ? "th.number" : "th", text);
  cell.scope = "col";
  return cell;
}

function sessions(value, actions) {
  if (value.total === 0) return put("sessions", [h("p.faint", "No browser has opened the site yet.")]);
  const heads = ["session", "age", "sockets", "memory", "generation", "last error", "what to do"];
  put("sessions", [
    h("p.faint", `${plural(value.connected, "session")} with a browser, ${value.total - value.connected} without, on ${plural(value.threads, "thread")}`,
      value.shown.length < value.total && `; ${value.shown.length} are shown`,
      value.stuck > 0 && h("span.bad", `; ${plural(value.stuck, "thread")} stuck`)),
    h("div.scroll", h("table",
      h("thead", h("tr", ...heads.map(heading))),
      h("tbody", ...value.shown.map((one) => session(one, actions))))),
  ]);
}

// ------------------------------------------------------------------ topics and the store
function shared(value) {
  const size = value.store && `${plural(value.store.keys, "key")}, ${number.format(Math.ceil(value.store.bytes / 1024))} KiB`;
  put("shared", [
    h("p", value.store ? `Store: ${size}` : "Store: off"),
    value.link && h("p", value.link.away
      ? h("span.bad", `${value.link.url} is away since ${clock.format(value.link.away.since)}: ${value.link.away.problem}`)
      : `Shared with other servers by ${value.link.url}`),
    h("p.faint", `${plural(value.published, "message")} published, ${number.format(value.delivered)} delivered`,
      value.dropped > 0 && h("span.warn", `, ${number.format(value.dropped)} dropped`)),
    h("ul", ...value.topics.map((one) => h("li", h("span.mono", one.topic), h("span.faint",
      ` ${plural(one.subscriptions, "subscription")}, ${plural(one.messages, "message")}`)))),
  ]);
}

// ------------------------------------------------------------------ directories and links
/** Nests paths below the longest one that begins them. @param {string[]} paths */
function tree(paths) {
  const roots = [];
  /** @type {{path: string, children: any[]}[]} */
  const stack = [];
  for (const path of paths) {
    while (stack.length && !path.startsWith(`${stack.at(-1).path}/`)) stack.pop();
    const node = { path, children: [] };
    (stack.at(-1)?.children ?? roots).push(node);
    stack.push(node);
  }
  return roots;
}

function branch(nodes, links, parent) {
  return h("ul", ...nodes.map(({ path, children }) => {
    const name = parent ? path.slice(parent.length + 1) : path;
    const here = links.filter(([link]) => link.slice(0, link.lastIndexOf("/")) === path);
    const leaves = here.map(([link, target]) => h("li", link.slice(path.length + 1), h("span.faint", ` → ${target}`)));
    const below = children.length ? [...branch(children, links, path).children] : [];
    return h("li", h("span.mono", `${name}/`), (below.length || leaves.length) && h("ul", ...below, ...leaves));
  }));
}

function places(value) {
  if (!value) return put("places", [h("p.faint", "Hot loading is off: nothing is watched.")]);
  const more = value.allDirs - value.dirs.length + value.allLinks - value.links.length;
  const orphans = value.links.filter(([link]) => !value.dirs.includes(link.slice(0, link.lastIndexOf("/"))));
  put("places", [
    h("ul.roots", ...value.roots.map(root)),
    h("p.faint", `${plural(value.allDirs, "directory", "directories")} watched, ${plural(value.allLinks, "link")} followed`),
    branch(tree(value.dirs), value.links, ""),
    orphans.length && h("ul", ...orphans.map(([link, target]) => h("li", link, h("span.faint", ` → ${target}`)))),
    more > 0 && h("p.faint", `and ${more} more`),
  ]);
}

// ------------------------------------------------------------------ log
const LEVELS = { ERROR: "bad", WARN: "warn", INFO: "info", DEBUG: "faint", TRACE: "faint" };

function log(value) {
  put("log", value.map((line) => h(`div.line`, h("span.faint", clock.format(line.at)), " ", fading(h(`span.${LEVELS[line.level] ?? "info"}`, line.text), line.at))));
}

function server(value) {
  pill(value.ready ? "ready" : "not ready", value.ready ? "good" : "bad");
  document.querySelector("#server").replaceChildren(value.site, " · version ", value.version, " · up ", since(value.started), " · ", value.detail);
}

export const show = {
  server, backends, fleet, reloads, sessions, shared, places, log,
  offline: () => pill("offline", "bad"),
};
