// The list of consoles: kept up to date, and searched. Without it, the list is as the server made it.

import {ask, put, putOrHide, putState} from "./common.js";

const POLL_SECONDS = 3;

const hosts = document.querySelector("#hosts");
const search = document.querySelector("#search");
const trouble = document.querySelector("#trouble");
const sections = new Map();
const rows = new Map();
/** What each row shows, as it was told, and what is searched of it. */
const shown = new WeakMap();
const texts = new WeakMap();

function blank(name) {
  return document.querySelector(`template#${name}`).content.firstElementChild.cloneNode(true);
}

// --- what is shown, from what the gateway tells; pages.py says the same without a script

function ago(seconds) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

function silence({silent, age}) {
  if (!silent) return "";
  return age === null ? "has never answered" : `silent for ${ago(age)}`;
}

function audience({viewers = []}) {
  const names = viewers.map(({user, mode}) => (mode === "control" ? user : `${user} (watching)`));
  return [...new Set(names)].join(", ");
}

function fillSection(section, host) {
  section.dataset.host = host.host;
  put(section.querySelector(".host"), host.host);
  putOrHide(section.querySelector(".silence"), silence(host));
}

function fillRow(row, console) {
  const told = JSON.stringify(console);
  if (shown.get(row) === told) return;
  shown.set(row, told);
  texts.delete(row);
  row.dataset.uuid = console.uuid;
  const link = row.querySelector("a");
  // Only the path: who came by another name of the gateway stays there.
  const path = new URL(console.url, location).pathname;
  if (link.getAttribute("href") !== path) link.setAttribute("href", path);
  put(row.querySelector(".title"), console.title);
  putOrHide(row.querySelector(".name"), console.vm);
  if (console.vm === console.title) row.querySelector(".name").hidden = true;
  putOrHide(row.querySelector(".audience"), audience(console));
  row.querySelector(".may").hidden = console.may !== "watch";
  putState(row.querySelector(".state"), console.state);
}

// --- one section a host, one row a console

/** Return the node of a key, made if it is not there yet. */
function node(known, key, template) {
  let found = known.get(key);
  if (!found) known.set(key, (found = blank(template)));
  return found;
}

/** Make the children of a parent just these, in this order; those that stay are not touched. */
function arrange(parent, children) {
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  while (next) {
    const gone = next;
    next = next.nextElementSibling;
    gone.remove();
  }
}

/** Show what the gateway has told. Focus stays where it is, on a VM that has moved as well. */
function show(told) {
  const focused = document.activeElement;
  const groups = new Map(told.hosts.map((host) => [host.host, {host, rows: []}]));
  const uuids = new Set();
  for (const console of told.consoles) {
    const {host} = console;
    if (!groups.has(host)) groups.set(host, {host: {host, age: null, silent: false}, rows: []});
    const row = node(rows, console.uuid, "row");
    fillRow(row, console);
    uuids.add(console.uuid);
    groups.get(host).rows.push(row);
  }
  for (const uuid of rows.keys()) if (!uuids.has(uuid)) rows.delete(uuid);
  for (const [name, {host, rows: its}] of groups) {
    if (!its.length && !host.silent) {
      groups.delete(name);
      continue;
    }
    const section = node(sections, name, "section");
    fillSection(section, host);
    arrange(section.querySelector("ul"), its);
  }
  for (const name of sections.keys()) if (!groups.has(name)) sections.delete(name);
  arrange(hosts, [...groups.keys()].map((name) => sections.get(name)));
  if (focused !== document.activeElement && focused?.isConnected) focused.focus({preventScroll: true});
  filter();
}

// --- search

/** Return the rows that match, as they stand on the page. */
function matching() {
  return [...hosts.querySelectorAll("li:not([hidden])")];
}

function textOf(row) {
  if (!texts.has(row)) {
    const visible = [...row.querySelectorAll("bdi, span")].filter((part) => !part.hidden);
    const parts = [row.closest("section").dataset.host, row.dataset.uuid];
    texts.set(row, [...parts, ...visible.map((part) => part.textContent)].join(" ").toLowerCase());
  }
  return texts.get(row);
}

/** Hide what does not have every word that is searched for. */
function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let matches = 0, all = 0;
  let first = null;
  for (const section of hosts.children) {
    let here = 0;
    for (const row of section.querySelectorAll("li")) {
      const found = words.every((word) => textOf(row).includes(word));
      if (row.hidden === found) row.hidden = !found;
      row.classList.remove("chosen");
      first ??= found ? row : null;
      here += found;
      all++;
    }
    matches += here;
    section.hidden = words.length > 0 && !here;
  }
  if (words.length) first?.classList.add("chosen");
  const unit = all === 1 ? "console" : "consoles";
  const counted = words.length ? `${matches} of ${all} ${unit}` : `${all} ${unit}`;
  putOrHide(document.querySelector("#count"), all ? counted : "");
  putOrHide(document.querySelector("#none"), emptiness(words, matches, all));
}

const nothing = document.querySelector("#none").textContent;

function emptiness(words, matches, all) {
  if (!all) return nothing;
  return words.length && !matches ? `No console matches “${search.value.trim()}”.` : "";
}

/** Move the focus up or down the list; above its first console is the search field. */
function step(by) {
  const visible = matching();
  const at = visible.indexOf(document.activeElement.closest("li"));
  const to = at + by;
  if (to < 0) search.focus();
  else visible[Math.min(to, visible.length - 1)]?.querySelector("a").focus();
}

function onKey(event) {
  if (event.ctrlKey || event.altKey || event.metaKey || event.isComposing) return;
  const searching = document.activeElement === search;
  const listed = hosts.contains(document.activeElement);
  if (event.key === "/" && !searching) search.select();
  else if (event.key === "ArrowDown" && (searching || listed)) step(1);
  else if (event.key === "ArrowUp" && listed) step(-1);
  else if (event.key === "Enter" && searching) matching()[0]?.querySelector("a").click();
  else if (event.key === "Escape" && (searching || listed)) {
    search.value = "";
    search.focus();
    filter();
  } else return;
  event.preventDefault();
}

// --- live state

let lastAnswer = new Date();
let timer = 0;
let asking = false;

async function refresh() {
  if (asking) return;
  asking = true;
  clearTimeout(timer);
  const started = performance.now();
  const answer = await ask("/portal.json");
  asking = false;
  if (answer.status === 401) {
    location.reload();  // to the form
    return;
  }
  if (answer.data) {
    show(answer.data);
    lastAnswer = new Date();
    putOrHide(trouble, "");
  } else {
    const then = lastAnswer.toLocaleTimeString();
    putOrHide(trouble, `The gateway does not answer. This is how things were at ${then}.`);
  }
  // A fleet whose list takes long to tell is asked less often; a page that nobody sees, not at all.
  const spent = (performance.now() - started) / 1000;
  if (!document.hidden) timer = setTimeout(refresh, 1000 * Math.max(POLL_SECONDS, 10 * spent));
}

for (const section of hosts.children) sections.set(section.dataset.host, section);
for (const row of hosts.querySelectorAll("li")) rows.set(row.dataset.uuid, row);

document.querySelector(".search").hidden = false;
search.addEventListener("input", filter);
document.addEventListener("keydown", onKey);
document.addEventListener("visibilitychange", () => {
  clearTimeout(timer);
  if (!document.hidden) refresh();
});
filter();
timer = setTimeout(refresh, 1000 * POLL_SECONDS);
